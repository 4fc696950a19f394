"""Jobs side by side claim GPUs: names of GPUs that do not exist, in processes that do."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heirloom.support.errors import HeirloomError
from heirloom.support.gpus import claim_gpus

ROOT = Path(__file__).resolve().parents[3]
JOB = """
import os, sys
from pathlib import Path
from heirloom.support.gpus import claim_gpus
claim_gpus(int(sys.argv[1]), locks=Path(sys.argv[2]))
assert "torch" not in sys.modules
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


class Job:
    """A process that claims GPUs, says which, and keeps them until it ends."""

    def __init__(self, count: int, locks: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(count), str(locks)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def gpus(self) -> list[str]:
        """GPUs that it claimed; waits until it has."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip().split(",")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_jobs_side_by_side_see_different_gpus(tmp_path: Path) -> None:
    jobs = [Job(1, tmp_path, CUDA_VISIBLE_DEVICES="5,6,7") for _ in range(3)]
    try:
        claimed = [gpu for job in jobs for gpu in job.gpus()]
        assert sorted(claimed) == ["5", "6", "7"]
        # A fourth waits, and gets that of the first that is killed.
        fourth = Job(1, tmp_path, CUDA_VISIBLE_DEVICES="5,6,7")
        time.sleep(0.5)
        assert fourth.process.poll() is None
        jobs.pop().kill()
        jobs.append(fourth)
        assert fourth.gpus() == claimed[2:]
    finally:
        for job in jobs:
            job.kill()


def test_several_gpus_are_claimed_together_or_not_at_all(tmp_path: Path) -> None:
    # One of three is left. A job of two does not hold it while it waits: a job of one gets it.
    jobs = [Job(2, tmp_path, CUDA_VISIBLE_DEVICES="0,1,2")]
    try:
        assert jobs[0].gpus() == ["0", "1"]
        waiting = Job(2, tmp_path, CUDA_VISIBLE_DEVICES="0,1,2")
        jobs.append(waiting)
        time.sleep(0.5)
        assert waiting.process.poll() is None
        jobs.append(Job(1, tmp_path, CUDA_VISIBLE_DEVICES="0,1,2"))
        assert jobs[2].gpus() == ["2"]
    finally:
        for job in jobs:
            job.kill()


def test_gpus_are_found_by_their_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text(
        "#!/bin/sh\n"
        "echo 'GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)'\n"
        "echo 'GPU 1: NVIDIA H200 (UUID: GPU-bbbb-2)'\n"
    )
    fake.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    job = Job(1, tmp_path / "locks", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert job.gpus() == ["GPU-aaaa-1"]
    job.kill()


def test_what_a_batch_system_chose_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of Slurm may both be shown a GPU 0, which are two."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    claim_gpus(1, locks=tmp_path / "locks")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert not (tmp_path / "locks").exists()


def test_a_job_without_a_gpu_claims_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    claim_gpus(0, locks=tmp_path / "locks")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_too_few_gpus_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(HeirloomError, match=r"needs 2 GPUs, but 1 can be used here \(3\)"):
        claim_gpus(2, locks=tmp_path)
