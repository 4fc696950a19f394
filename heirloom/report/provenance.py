"""Provenance of a run: its command, commit, settings and packages."""

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from heirloom.study.plan import Plan
from heirloom.support.files import Record

PACKAGES = ("torch", "transformers", "peft", "snakemake", "numpy", "pandas", "matplotlib")


def describe_run(plan: Plan, *, command: str) -> Record:
    """Return the command, the git commit, the checksum of the study file and package versions.

    Args:
        plan: The study's plan.
        command: Command that runs the study again.
    """
    config = json.dumps(plan.config, sort_keys=True, ensure_ascii=False)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed where the report was made"
    return {
        "command": command,
        "commit": _commit(),
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "versions": versions,
    }


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not run from a git checkout with a commit"
    return found.stdout.strip()
