"""The beginning of a job: its log, its GPUs, and no torch."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
JOB = """
import logging, os, sys
from heirloom.support.job import start_job
start_job(sys.argv[1], "score ant", gpus=int(sys.argv[2]))
logging.getLogger("x").info("on %s", os.environ.get("CUDA_VISIBLE_DEVICES"))
assert "torch" not in sys.modules
"""


def start(log: Path, gpus: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", JOB, str(log), str(gpus)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "7", "TMPDIR": str(log.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_job_logs_and_claims_its_gpus(tmp_path: Path) -> None:
    job = start(tmp_path / "logs/job.log", 1)
    assert job.returncode == 0, job.stderr
    assert "[score ant] on 7" in job.stderr
    assert (tmp_path / "logs/job.log").read_text().endswith("INFO x: on 7\n")


def test_a_job_without_enough_gpus_says_so_in_its_log(tmp_path: Path) -> None:
    job = start(tmp_path / "job.log", 2)
    assert job.returncode == 1
    assert "Traceback" not in job.stderr and "needs 2 GPUs, but 1 can be used" in job.stderr
    assert "needs 2 GPUs" in (tmp_path / "job.log").read_text()
