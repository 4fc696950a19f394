"""Modules of the library that determine a rule's output, found through their imports.

Snakemake re-runs a rule when its script changes, but not when something changes that the script
imports. A rule declares these files as inputs instead. `support` is left out: how a file is written
or a line is logged changes no result.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import heirloom

# Resolved, as registries have the files of their parts.
_ROOT = Path(heirloom.__file__).resolve().parent
_NEUTRAL = "heirloom.support"


def modules_of(*entries: str) -> list[Path]:
    """Files of these modules of heirloom, and of every one that they import, directly or not.

    Imports inside functions and under `TYPE_CHECKING` count as well: the former decide results, and
    the latter cost at most a job that need not have run.

    Args:
        entries: Dotted names of modules, such as `heirloom.generate.loop`; a package stands for its
            `__init__`.

    Raises:
        ModuleNotFoundError: An entry is no module of heirloom.
    """
    found: dict[str, Path] = {}
    waiting = [above for entry in entries for above in _with_packages(entry)]
    while waiting:
        name = waiting.pop()
        if name in found or name == _NEUTRAL or name.startswith(f"{_NEUTRAL}."):
            continue
        file = _file_of(name)
        if file is None:
            raise ModuleNotFoundError(f"{name} is no module of heirloom")
        found[name] = file
        waiting += _imported_by(file)
    return sorted(found.values())


def _file_of(name: str) -> Path | None:
    """File of a module of heirloom; None if there is none by that name."""
    path = _ROOT.joinpath(*name.split(".")[1:])
    candidates = [path / "__init__.py", path.with_suffix(".py")]
    return next((file for file in candidates if file.is_file()), None)


@cache
def _imported_by(file: Path) -> tuple[str, ...]:
    return tuple(_imports(ast.parse(file.read_text(encoding="utf-8"))))


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules of heirloom that a parsed module imports, packages above them included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name`: the name may be a module or something in the package.
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for dotted in named:
            if dotted.split(".")[0] != "heirloom":
                continue
            yield from (name for name in _with_packages(dotted) if _file_of(name))


def _with_packages(name: str) -> list[str]:
    """A module and the packages above it, all of which run when it is imported."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(2, len(parts) + 1)]
