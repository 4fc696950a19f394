"""Command lines of the manual can be typed as they stand, and profiles say what they need."""

import re
import shlex
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import pytest
import yte
from snakemake.cli import parse_args

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "config/README.md", "profiles/README.md", "CONTRIBUTING.md", "Snakefile"]
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?snakemake( [^`\n]*)?")


def commands() -> Iterator[tuple[str, str]]:
    """Page and arguments of each command line: an indented line, or one in backquotes."""
    pages = [*PAGES, *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
    pages += [str(path.relative_to(ROOT)) for path in (ROOT / "profiles").glob("*/config.yaml")]
    for page in pages:
        for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
            block = re.match(r"(?:#  |  ) +(\S.*)$", line)
            for text in [block[1]] if block else re.findall(r"`([^`]+)`", line):
                found = COMMAND.fullmatch(text)
                if found and "..." not in (found[1] or ""):  # an ellipsis is no argument
                    yield page, found[1] or ""


RULES = {
    rule
    for path in (ROOT / "rules").glob("*.smk")
    for rule in re.findall(r"^ *rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_there_are_command_lines() -> None:
    pages = [page for page, _ in commands()]
    assert set(PAGES) <= set(pages) and len(pages) > 12


@pytest.mark.parametrize(("page", "arguments"), sorted(set(commands())))
def test_a_command_line_of_the_manual(
    page: str, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets are rules; what follows --configfile are study files, and not targets."""
    monkeypatch.chdir(ROOT)
    _, parsed = parse_args(shlex.split(arguments, comments=True))
    assert set(parsed.targets) <= RULES
    assert all(Path(file).suffix in (".yaml", ".json") for file in parsed.configfile or [])


@pytest.mark.parametrize("profile", ["slurm", "kubernetes"])
def test_a_profile_without_its_plugin_names_what_installs_it(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "profiles" / profile / "config.yaml").read_text(encoding="utf-8")
    settings = yte.process_yaml(text, require_use_yte=True)
    executor = settings["executor"]
    assert util.find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}")
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=f"Run: make {profile}$"):
        yte.process_yaml(text, require_use_yte=True)
