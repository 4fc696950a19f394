"""A section of `make gpu-check` in a process of its own, which ends in time."""

import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress

from benchmarks.gpu_sections import Section, UnavailableError
from heirloom.support.files import Record


def apart(function: Callable[[Section], None], section: Section, seconds: float) -> Record:
    """Run a section in a process of its own, which is ended with its children in time."""
    if seconds < 5:
        return {"skipped": "no time was left"}
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(function, section))
    process.start()
    process.join(seconds)
    found = section.work / "found.json"
    late = process.is_alive()
    assert process.pid is not None
    with suppress(ProcessLookupError, PermissionError):  # with whatever it started
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # if it had no group of its own yet
    process.join()
    if found.exists():
        record: Record = json.loads(found.read_text(encoding="utf-8"))
        return record
    if late:
        return {"skipped": f"not finished within {seconds:.0f} s"}
    return {"failed": f"its process ended with status {process.exitcode}"}


def _run(function: Callable[[Section], None], section: Section) -> None:
    """Run a section; what libraries print goes into a file."""
    os.setsid()
    log = os.open(section.work / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        function(section)
        found = section.found
    except UnavailableError as error:
        found = {"skipped": f"needs {error}"}
    except Exception as error:
        traceback.print_exc()
        found = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    whole = section.work / "found.part"
    whole.write_text(json.dumps(found), encoding="utf-8")
    whole.rename(section.work / "found.json")
