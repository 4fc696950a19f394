"""The structure of the repository: sizes, layers, names and the one place for paths."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "heirloom").rglob("*.py"))
SOURCES = sorted(
    path
    for folder in ("heirloom", "scripts", "benchmarks", "snakemake_logger_plugin_heirloom", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
RULES = sorted((ROOT / "rules").glob("*.smk"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
STREET = (
    *("support", "statistics", "fetch", "prompts", "generate", "objectives", "select", "finetune"),
    *("profiling", "study", "analyse", "report", "publish"),
)


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def too_long(paths: list[Path], most: int) -> dict[str, int]:
    return {str(p.relative_to(ROOT)): n for p in paths if (n := lines(p)) > most}


def test_the_library_is_packages_named_as_the_stages() -> None:
    found = {path.relative_to(ROOT / "heirloom").parts[0] for path in LIBRARY}
    assert found == {"__init__.py", *STREET}


@pytest.mark.parametrize(
    "stage", [s for s in STREET if s not in ("support", "statistics", "study")]
)
def test_a_stage_has_one_name(stage: str) -> None:
    assert (ROOT / "rules" / f"{stage}.smk").exists()
    assert list((ROOT / "scripts").glob(f"{stage}*.py"))
    assert list((ROOT / "tests/unit" / stage).glob("test_*.py"))


def test_sizes() -> None:
    assert too_long(LIBRARY, 400) == {}
    assert too_long(SCRIPTS, 20) == {}
    assert too_long([ROOT / "Snakefile"], 60) == {}
    assert too_long([ROOT / "rules/common.smk"], 80) == {}


def test_no_function_is_over_sixty_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in LIBRARY
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= 60
    }
    assert long == {}


def test_the_street_has_no_way_back() -> None:
    """The layers of pyproject.toml hold, without an import that is ignored."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "ignore_imports" not in settings
    layers = tomllib.loads(settings)["tool"]["importlinter"]["contracts"][0]["layers"]
    assert layers == list(reversed(STREET))
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports inside functions and for types alone count as well."""
    graph = grimp.build_graph("heirloom", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # its error names the cycle


def test_the_plan_is_no_dictionary() -> None:
    pattern = re.compile(r"""plan\[["']|plan: (Record|dict)|plan_record""")
    for path in [*SOURCES, *RULES, ROOT / "Snakefile"]:
        if path != Path(__file__):
            assert not pattern.findall(path.read_text(encoding="utf-8")), path


def test_paths_of_results_are_built_in_one_place() -> None:
    """No text of code but in study/paths.py has a folder of the results in it."""
    folders = "models|sources|data|prompts|generations|scores|datasets|students|profiles|judge"
    folders += "|tables|figures|published|logs|costs|work"
    built = re.compile(rf"""results/\{{|RESULTS|\{{root\}}/|/ ["'](?:{folders})["']""")
    home = ROOT / "heirloom/study/paths.py"
    for path in [*LIBRARY, *SCRIPTS, *RULES, ROOT / "Snakefile"]:
        if path == home:
            continue
        code = _without_descriptions(path) if path.suffix == ".py" else path.read_text("utf-8")
        assert not built.findall(code), path


def _without_descriptions(path: Path) -> str:
    """Code without docstrings and without the descriptions of settings, which name paths."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
        if isinstance(node, ast.keyword) and node.arg == "description":
            node.value = ast.Constant(None)
    return ast.unparse(tree)


def test_no_docstring_begins_with_a_question() -> None:
    """Neither those of arguments and attributes, nor comments that describe a constant."""
    asking = []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    begins = re.compile(r"^(?:\s*#: |\s*|\s+\w+: )(?:What|Which|Whether|How)\b.*")
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        described = [line for line in text.splitlines() if line.lstrip().startswith("#: ")]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, kinds):
                first, *rest = (ast.get_docstring(node) or "").splitlines() or [""]
                described += [first, *(line for line in rest if re.match(r"\s+\w+: ", line))]
        asking += [f"{path.relative_to(ROOT)}: {d}" for d in described if begins.match(d)]
    assert asking == []
