"""The failed jobs of a run, each in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from heirloom.study.failures import FailedJob, failure_lines, last_error

JOB = """
import logging, sys
from heirloom.support.errors import HeirloomError
from heirloom.support.log import setup
setup(sys.argv[1], "job")
logging.getLogger("heirloom.some").warning("mind the gap")
{fault}
"""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise HeirloomError('no such file.\\nName another.')", "no such file. Name another."),
        ("raise ValueError('2 is no colour')", "ValueError: 2 is no colour"),
        ("pass", ""),
        ("raise HeirloomError('long ' * 200)", ("long " * 80) + " ..."),
    ],
)
def test_the_message_of_a_job_is_found_in_its_log(tmp_path: Path, fault: str, message: str) -> None:
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", JOB.format(fault=fault), str(log)]
    subprocess.run(command, check=False, capture_output=True)
    assert last_error(log) == message


def test_every_failed_job_has_one_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        "2026-01-01 00:00:00,000 ERROR root: first\n2026-01-01 00:00:01,000 ERROR root: last\n"
        "2026-01-01 00:00:02,000 INFO root: bye\n",
        encoding="utf-8",
    )
    jobs = [
        FailedJob("profile ant", [str(tmp_path / "absent.log")]),
        FailedJob("finetune ant.x.s1", [str(log)]),
        FailedJob("all", []),
    ]
    killed = "it ended without a message, as when memory runs out or it is killed"
    assert failure_lines(jobs) == [
        f"  - all: {killed}",
        f"  - finetune ant.x.s1: last [{log}]",
        f"  - profile ant: {killed} [{tmp_path / 'absent.log'}]",
    ]
