"""Modules that decide a rule's output, from the imports of the library."""

from pathlib import Path

import pytest

from heirloom.study import modules
from heirloom.study.modules import modules_of

FILES = {
    "support/__init__.py": "",
    "support/files.py": "from heirloom.fetch.cache import root\n",
    "fetch/__init__.py": "",
    "fetch/cache.py": "from heirloom.support.files import write\n",
    "fetch/network.py": "import json\nfrom os import path\n",
    "select/__init__.py": "import heirloom.fetch.network\n",
    "select/pool.py": "from heirloom.select import choice\n",
    "select/choice.py": "def choose():\n    from heirloom.fetch import cache\n    return cache\n",
    "select/deep.py": (
        "class Deep:\n    def way(self, way):\n        match way:\n            case 1:\n"
        "                try:\n                    pass\n                except ValueError:\n"
        "                    import heirloom.select.choice\n"
        "        with way:\n            while way:\n                import heirloom.select.pool\n"
    ),
    "report/__init__.py": "",
    "report/page.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from heirloom.select.pool import Pool\n"
    ),
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library with a few modules in the place of heirloom."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(modules, "_ROOT", tmp_path)
    return tmp_path


def found(house: Path, *entries: str) -> set[str]:
    return {file.relative_to(house).as_posix() for file in modules_of(*entries)}


def test_imports_inside_functions_are_followed(house: Path) -> None:
    own = {"select/__init__.py", "select/choice.py"}
    brought = {"fetch/__init__.py", "fetch/cache.py", "fetch/network.py"}
    assert found(house, "heirloom.select.choice") == own | brought


def test_imports_in_any_block_are_followed(house: Path) -> None:
    assert {"select/choice.py", "select/pool.py"} <= found(house, "heirloom.select.deep")


def test_a_name_from_a_package_is_followed_where_it_is_a_module(house: Path) -> None:
    assert "select/choice.py" in found(house, "heirloom.select.pool")


def test_packages_above_a_module_are_part_of_it(house: Path) -> None:
    """`import heirloom.select.x` runs select/__init__.py first, and so what that imports."""
    assert {"select/__init__.py", "fetch/network.py"} <= found(house, "heirloom.select.choice")


def test_a_package_stands_for_its_init(house: Path) -> None:
    assert found(house, "heirloom.fetch") == {"fetch/__init__.py"}


def test_imports_for_types_alone_count(house: Path) -> None:
    assert "select/pool.py" in found(house, "heirloom.report.page")


def test_support_is_left_out_with_what_only_it_imports(house: Path) -> None:
    assert found(house, "heirloom.support.files") == set()
    assert found(house, "heirloom.fetch.cache") == {"fetch/__init__.py", "fetch/cache.py"}


def test_several_entries_are_one_sorted_list_of_files(house: Path) -> None:
    both = modules_of("heirloom.fetch.network", "heirloom.fetch.cache")
    assert both == sorted(both) and len(both) == len(set(both)) == 3


@pytest.mark.parametrize(
    "name", ["heirloom.select.nothing", "heirloom.nowhere", "heirloom.fetch.cache.root"]
)
def test_an_unknown_module_is_refused(house: Path, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="is no module of heirloom"):
        modules_of(name)


def test_the_library_itself(root: Path) -> None:
    """A strategy reaches its registry and no report; the loop reaches the choice of tokens."""
    strategy = {file.relative_to(root).as_posix() for file in modules_of("heirloom.select.pool")}
    assert "heirloom/select/pool.py" in strategy
    assert not any(file.startswith(("heirloom/report", "heirloom/support")) for file in strategy)
    loop = {file.relative_to(root).as_posix() for file in modules_of("heirloom.generate.loop")}
    assert {"heirloom/generate/sampling.py", "heirloom/generate/request.py"} <= loop
