"""Registries find parts in a package of their kind and in plugins, and name every fault."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from heirloom.support.errors import HeirloomError
from heirloom.support.plugins import VARIABLE, load_plugins, use_plugins
from heirloom.support.registry import Registry, name_in

#: A package with a registry of its own, as every stage that has parts of a kind has.
FRUITS = """
from heirloom.support.registry import Registry

FRUITS = Registry("fruit", __name__)

def fruit(name):
    def register(function):
        FRUITS.register(name, function(), source=function)
        return function
    return register
"""
PART = """
from fruits import fruit

@fruit("{name}")
def make():
    return "a {name}"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, and forgets afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def fruits(folder: Path) -> Registry[str]:
    """The registry of a package with the parts `apple` and `pear`, not asked for anything yet."""
    write(folder / "fruits/__init__.py", FRUITS)
    for name in ("apple", "pear"):
        write(folder / f"fruits/{name}.py", PART.format(name=name))
    import fruits  # type: ignore[import-not-found]

    found: Registry[str] = fruits.FRUITS
    return found


def test_components_are_found_in_the_package_when_they_are_asked_for(fruits: Registry[str]) -> None:
    assert "fruits.apple" not in sys.modules
    assert fruits.names() == ["apple", "pear"]
    assert list(fruits) == ["a apple", "a pear"]
    assert fruits.get("pear") == "a pear"
    assert "apple" in fruits and "plum" not in fruits


def test_the_source_of_a_part_is_the_file_that_defines_it(
    fruits: Registry[str], folder: Path
) -> None:
    assert fruits.source("apple") == (folder / "fruits/apple.py").resolve()


def test_a_name_from_two_files_is_refused_with_both_named(
    fruits: Registry[str], folder: Path
) -> None:
    twin = write(folder / "fruits/quince.py", PART.format(name="apple"))
    with pytest.raises(HeirloomError) as caught:
        fruits.names()
    assert str(caught.value) == (
        f"The fruit 'apple' is defined twice, in {folder / 'fruits/apple.py'} and in {twin}: "
        "rename one of them."
    )


def test_the_same_file_may_register_again(fruits: Registry[str]) -> None:
    """A module that is loaded anew, as a notebook does it."""
    import importlib

    fruits.names()
    importlib.reload(sys.modules["fruits.apple"])
    assert fruits.names() == ["apple", "pear"]


def test_an_unknown_name_is_answered_with_the_nearest_and_all(fruits: Registry[str]) -> None:
    with pytest.raises(HeirloomError) as caught:
        fruits.get("aple")
    assert str(caught.value) == (
        "There is no fruit 'aple'. Did you mean 'apple'? Known: apple, pear."
    )
    with pytest.raises(HeirloomError, match=r"There is no fruit 'xyz'\. Known: apple, pear\."):
        fruits.source("xyz")


def test_a_module_that_cannot_be_imported_is_named(fruits: Registry[str], folder: Path) -> None:
    write(folder / "fruits/rotten.py", "import a_package_that_nobody_has\n")
    with pytest.raises(HeirloomError) as caught:
        fruits.names()
    assert "fruits/rotten.py could not be imported: ModuleNotFoundError" in str(caught.value)
    assert "Packages that only one fruit needs must be imported inside its function." in str(
        caught.value
    )


def test_a_setting_takes_registered_names_only(fruits: Registry[str]) -> None:
    class Basket(BaseModel):
        fruit: name_in(fruits) = "apple"  # type: ignore[valid-type]
        green: name_in(fruits, only=lambda part: part == "a pear") = "pear"  # type: ignore[valid-type]

    assert Basket(fruit="pear").fruit == "pear"
    with pytest.raises(ValidationError, match="There is no fruit 'pea'"):
        Basket(fruit="pea")
    with pytest.raises(ValidationError, match="the fruit 'apple' cannot be used here; use pear"):
        Basket(green="apple")


def test_the_schema_of_a_setting_lists_the_names(fruits: Registry[str]) -> None:
    class Basket(BaseModel):
        fruit: name_in(fruits) = "apple"  # type: ignore[valid-type]
        green: name_in(fruits, only=lambda part: part == "a pear") = "pear"  # type: ignore[valid-type]

    properties = Basket.model_json_schema()["properties"]
    assert properties["fruit"]["type"] == properties["green"]["type"] == "string"
    assert properties["fruit"]["enum"] == ["apple", "pear"]
    assert properties["green"]["enum"] == ["pear"]


# Plugins


def test_every_module_of_a_plugin_is_imported(
    fruits: Registry[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "orchard/__init__.py", "")
    plum = write(folder / "orchard/plum.py", PART.format(name="plum"))
    write(folder / "orchard/fig.py", PART.format(name="fig"))
    monkeypatch.setenv(VARIABLE, "orchard")
    assert fruits.names() == ["apple", "fig", "pear", "plum"]
    assert fruits.source("plum") == plum.resolve()


def test_a_plugin_may_be_a_single_module(
    fruits: Registry[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "tree.py", PART.format(name="cherry"))
    monkeypatch.setenv(VARIABLE, "tree")
    assert "cherry" in fruits


def test_a_plugin_cannot_take_the_place_of_a_part(
    fruits: Registry[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "tree.py", PART.format(name="pear"))
    monkeypatch.setenv(VARIABLE, "tree")
    with pytest.raises(HeirloomError, match=r"'pear' is defined twice, .*pear\.py and in .*tree"):
        fruits.names()


def test_plugins_are_named_to_the_jobs_that_this_process_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")  # restored afterwards
    write(folder / "one.py", "")
    write(folder / "two.py", "")
    use_plugins(["one", "two"])
    assert {"one", "two"} <= set(sys.modules)
    code = (
        "import heirloom.support.plugins as p, sys; p.load_plugins(); print('two' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_an_installed_package_announces_a_plugin_by_an_entry_point(
    fruits: Registry[str], folder: Path
) -> None:
    write(folder / "vineyard.py", PART.format(name="grape"))
    installed = folder / "vineyard-1.0.dist-info"
    write(installed / "METADATA", "Metadata-Version: 2.1\nName: vineyard\nVersion: 1.0\n")
    write(installed / "entry_points.txt", "[heirloom.plugins]\nwine = vineyard\n")
    assert fruits.names() == ["apple", "grape", "pear"]


def test_a_plugin_that_is_not_there_is_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "nowhere.at_all")
    with pytest.raises(HeirloomError) as caught:
        load_plugins()
    assert str(caught.value).startswith(
        "plugins: nowhere.at_all could not be imported (ModuleNotFoundError: No module named "
        "'nowhere'). It must be a module that Python finds:"
    )
    assert "PYTHONPATH" in str(caught.value)


def test_no_import_asks_for_components(root: Path) -> None:
    """A plugin imports modules of heirloom: if one asked for parts meanwhile, it would be half."""
    names = [
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((root / "heirloom").rglob("*.py"))
        if file.name != "__main__.py"
    ]
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"],
        cwd=root,
        env={**os.environ, VARIABLE: "nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
