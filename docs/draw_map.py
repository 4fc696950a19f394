"""Draw the map of packages into CONTRIBUTING.md, from the imports in the code.

    python -m docs.draw_map    (make docs)

A test fails if the map in the file is out of date.
"""

import re
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "CONTRIBUTING.md"
PACKAGE = "heirloom"
_MAP = re.compile(r"(<!-- map -->\n).*?(<!-- end -->)", re.DOTALL)


def package_imports() -> dict[str, set[str]]:
    """Packages of the library to those that they import."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    packages = sorted(graph.find_children(PACKAGE))
    for package in packages:
        graph.squash_module(package)
    return {
        _short(package): {
            _short(imported)
            for imported in graph.find_modules_directly_imported_by(package)
            if imported in packages and imported != package
        }
        for package in packages
    }


def street() -> list[str]:
    """Packages in the order of the layers that `make lint` holds them to, the first in front."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    return list(reversed(contract["layers"]))


def needed(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports without those that follow from others (the transitive reduction)."""

    def reached(package: str) -> set[str]:
        return set().union(*({i} | reached(i) for i in imports[package]))

    return {
        package: direct - set().union(*(reached(imported) for imported in direct))
        for package, direct in imports.items()
    }


def map_text() -> str:
    """The map as a Mermaid diagram: a box per package, an arrow from what is imported."""
    imports = package_imports()
    lines = ["```mermaid", "flowchart LR"]
    for package in street():
        doc = (ROOT / PACKAGE / package / "__init__.py").read_text(encoding="utf-8")
        first = doc.removeprefix('"""').partition("\n")[0].removesuffix('"""').rstrip(".")
        lines.append(f'    {package}["<b>{package}</b><br>{first}"]')
    direct = needed(imports)
    for package in street():
        lines += [f"    {imported} --> {package}" for imported in sorted(direct[package])]
    return "\n".join([*lines, "```", ""])


def with_map(page: str) -> str:
    """A page with the map between its markers drawn anew."""
    return _MAP.sub(lambda found: found[1] + map_text() + found[2], page)


def _short(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


if __name__ == "__main__":
    FILE.write_text(with_map(FILE.read_text(encoding="utf-8")), encoding="utf-8")
