"""The locks, the conda environment and pyproject.toml name the same packages."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().split()
    return dict(line.lower().replace("_", "-").split("==") for line in lines)


def test_conda_environment_has_the_pins_of_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "envs/heirloom.yaml").read_text())
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == (ROOT / "requirements.lock").read_text().split(), "run `make lock`"


def test_locks_cover_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, dev = _pins("requirements.lock"), _pins("requirements-dev.lock")
    for pins, wanted in (
        (runtime, project["project"]["dependencies"]),
        ({**runtime, **dev}, project["dependency-groups"]["dev"]),
    ):
        for requirement in wanted:
            name, _, version = requirement.lower().partition("==")
            assert name in pins, f"{name} is not locked: run `make lock`"
            assert version in ("", pins[name])


def test_what_a_cluster_needs_is_pinned_and_tested() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirements in extras["optional-dependencies"].values():
        assert all("==" in requirement for requirement in requirements)
    dev = _pins("requirements-dev.lock")
    clusters = extras["optional-dependencies"]
    for requirement in clusters["slurm"] + clusters["kubernetes"]:
        name, _, version = requirement.partition("==")
        assert dev[name] == version


def test_no_package_is_pinned_twice() -> None:
    assert not set(_pins("requirements.lock")) & set(_pins("requirements-dev.lock"))


def test_lock_has_no_local_builds_or_addresses() -> None:
    # A local version such as 2.13.0+cpu, or a file:// or git+ address, exists on one machine only.
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert not re.search(r"[+@/]", (ROOT / name).read_text())
