"""Sections of `make gpu-check` for its tests, where a new process can import them."""

import subprocess

from benchmarks.gpu_sections import Section


def sleeps(section: Section) -> None:
    """Start a process, and end with it."""
    child = subprocess.Popen(["sleep", "600"])
    (section.work / "child").write_text(str(child.pid), encoding="utf-8")
    child.wait()


def fails(section: Section) -> None:
    """Raise an error of two lines."""
    raise ValueError("no such\nthing")
