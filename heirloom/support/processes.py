"""Processes that end with the process that started them, however that one ends.

The id of a process's parent changes when the parent ends. Our own processes watch it in a thread;
other programs are started under this file, run as a script, which watches it for them. Standard
library only.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

_POLL_SECONDS = 0.1


def end_with_parent() -> None:
    """Kill this process as soon as the process that started it has ended."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def bound_process(
    command: Sequence[str], *, grace: float = 0.0, **options: Any
) -> Iterator["subprocess.Popen[Any]"]:
    """Run a program that ends with this process, or at the end of the block.

    It leads a process group of its own, which is ended as a whole.

    Args:
        command: The program and its arguments.
        grace: Seconds from SIGTERM to SIGKILL.
        options: Of `subprocess.Popen`.

    Yields:
        The process. It ends when the program does, with its exit status.
    """
    watched = [sys.executable, __file__, str(os.getpid()), str(grace), *command]
    process = subprocess.Popen(watched, start_new_session=True, **options)
    try:
        yield process
    finally:
        _end_group(process, process.pid, grace)


def _end_group(process: "subprocess.Popen[Any]", group: int, grace: float) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    process.wait()


def _run(parent: int, grace: float, command: Sequence[str]) -> int:
    """Run a program until it ends or process `parent` does; return its exit status."""
    # A handler, which the program does not inherit: it is for the program to heed SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        program = subprocess.Popen(command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    while program.poll() is None:
        if os.getppid() != parent:
            _end_group(program, os.getpgrp(), grace)  # this process included
        with suppress(subprocess.TimeoutExpired):
            program.wait(_POLL_SECONDS)
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


if __name__ == "__main__":
    sys.exit(_run(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
