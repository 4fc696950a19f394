"""Processes that end with their parent, however it ends: real ones, killed for real."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heirloom.support.processes import bound_process

ROOT = Path(__file__).resolve().parents[3]
# Starts a child in one of the two ways, prints the pid of the child that matters, and waits.
PARENT = """
import subprocess, sys, time
from heirloom.support.processes import bound_process
child = [sys.executable, "-c", sys.argv[2]]
if sys.argv[1] == "own":
    process = subprocess.Popen(child, stdout=subprocess.PIPE)
    print(process.stdout.readline().decode().strip(), flush=True)
    time.sleep(600)
with bound_process(child, grace=float(sys.argv[3]), stdout=subprocess.PIPE) as process:
    print(process.stdout.readline().decode().strip(), flush=True)
    time.sleep(600)
"""
OWN = """
import os, time
from heirloom.support.processes import end_with_parent
end_with_parent()
print(os.getpid(), flush=True)
time.sleep(600)
"""
FOREIGN = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREIGN}"
TIDY = (
    "import os, signal, sys, time; print(os.getpid(), flush=True); "
    "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], 'w').close(), sys.exit(7))); "
    "time.sleep(600)"
)


def ends(pid: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("way", "child", "grace"),
    [
        ("own", OWN, 0.0),
        ("bound", FOREIGN, 0.0),
        ("bound", FOREIGN, 30.0),
        ("bound", STUBBORN, 0.5),
    ],
)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent(way: str, child: str, grace: float, how: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, way, child, str(grace)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not ends(pid, within=0.5)
    parent.send_signal(how)
    parent.wait()
    assert ends(pid)


def test_a_program_ends_with_the_block_and_may_tidy_up(tmp_path: Path) -> None:
    mark = tmp_path / "tidy"
    command = [sys.executable, "-c", TIDY, str(mark)]
    with bound_process(command, grace=30.0, stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        time.sleep(0.2)
    assert ends(pid) and mark.exists() and process.returncode == 7


def test_a_program_takes_what_it_started_along(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 600 & echo $!; exec sleep 600"]
    with bound_process(command, stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
    assert ends(pid)


@pytest.mark.parametrize(
    ("program", "status"),
    [("exit 3", 3), ("kill -9 $$", 128 + signal.SIGKILL), (None, 127)],
)
def test_the_exit_status_is_the_programs(program: str | None, status: int) -> None:
    command = ["sh", "-c", program] if program else ["/nowhere/program"]
    with bound_process(command, stderr=subprocess.DEVNULL) as process:
        process.wait()
    assert process.returncode == status


def test_the_watcher_leads_the_group() -> None:
    with bound_process(["sleep", "600"]) as process:
        assert os.getpgid(process.pid) == process.pid
