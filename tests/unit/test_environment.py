"""The locks, the conda environment, the containers and pyproject.toml name the same packages."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHECKS = ROOT / ".venv-checks/bin"


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
        (_pins("requirements-checks.lock"), project["dependency-groups"]["checks"]),
        (_pins("requirements-site.lock"), project["dependency-groups"]["site"]),
    ):
        for requirement in wanted:
            name, _, version = requirement.lower().partition("<")[0].partition("==")
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
    for name in ("", "-dev", "-checks", "-site"):
        name = f"requirements{name}.lock"
        assert not re.search(r"[+@/]", (ROOT / name).read_text())


# Containers


def _recipe(commands: str) -> list[str]:
    """The commands of a shell script, each in one line with single spaces."""
    joined = commands.replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]


def _dockerfile() -> dict[str, list[str]]:
    """Instruction to what it is given, in order."""
    found: dict[str, list[str]] = {}
    text = (ROOT / "envs/Dockerfile").read_text()
    for line in _recipe(re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        instruction, _, rest = line.partition(" ")
        found.setdefault(instruction, []).append(rest)
    return found


def _definition() -> dict[str, list[str]]:
    """Section of the Apptainer definition to its lines; "" is the header."""
    text = re.sub(r"^#.*\n", "", (ROOT / "envs/heirloom.def").read_text(), flags=re.MULTILINE)
    header, *sections = re.split(r"^%", text, flags=re.MULTILINE)
    named = [section.partition("\n") for section in sections]
    return {"": _recipe(header)} | {name: _recipe(body) for name, _, body in named}


def test_both_containers_are_made_alike() -> None:
    docker, apptainer = _dockerfile(), _definition()
    assert apptainer[""] == ["Bootstrap: docker", f"From: {docker['FROM'][0]}"]
    assert apptainer["files"] == docker["COPY"]
    assert apptainer["post"] == docker["RUN"]


def test_containers_have_the_lock_and_its_python() -> None:
    environment = yaml.safe_load((ROOT / "envs/heirloom.yaml").read_text())
    (python,) = [p for p in environment["dependencies"] if str(p).startswith("python=")]
    docker = _dockerfile()
    assert docker["FROM"][0].startswith(f"python:{python.removeprefix('python=')}-")
    source, target = docker["COPY"][0].split()
    assert source == "requirements.lock"
    assert docker["RUN"][-1].endswith(f"pip install --no-cache-dir --requirement {target}")
    # Whatever else it installs with pip would be no part of the lock.
    assert sum("pip install" in command for command in docker["RUN"]) == 1


def test_jobs_look_for_the_container_that_the_recipe_makes() -> None:
    assert 'container: "heirloom.sif"' in (ROOT / "Snakefile").read_text()
    assert (
        "apptainer build heirloom.sif envs/heirloom.def" in (ROOT / "envs/heirloom.def").read_text()
    )


def _check(*command: str) -> subprocess.CompletedProcess[str]:
    if not (CHECKS / command[0]).exists():
        pytest.skip(f"{command[0]} is not there: make .venv-checks/.done")
    return subprocess.run(
        [str(CHECKS / command[0]), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = _check("hadolint", "envs/Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_another_parser_reads_the_definition_as_the_dockerfile() -> None:
    done = _check("spython", "recipe", "--parser", "singularity", "envs/heirloom.def")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = _recipe(done.stdout)
    docker = _dockerfile()
    assert f"FROM {docker['FROM'][0]}" in [line.partition(" AS ")[0] for line in lines]
    assert any(docker["COPY"][0].split()[1] in line for line in lines)
    for command in docker["RUN"]:
        assert any(command.split(" && ")[0] in line for line in lines), command
