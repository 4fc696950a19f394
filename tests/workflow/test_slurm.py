"""The tiny study as jobs of a real Slurm: one is cancelled, one out of memory, a daemon killed."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from slurm import Slurm, require
from workshop import RESULTS, ROOT, Workshop

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
PARTITIONS = sorted(
    {
        PROFILE["default-resources"]["slurm_partition"],
        *(resources["slurm_partition"] for resources in PROFILE["set-resources"].values()),
    }
)
LIMIT = PROFILE["default-resources"]["runtime_limit"]
SETS = ["length-multi", "toxicity-ant"]
STUDENT = "students/ant.passive-ant.s1"
TRAINED = [f"{STUDENT}/adapter_model.safetensors", f"{STUDENT}/manifest.json"]
# The profile as it is, but for a test that should not wait and whose texts depend on one thread.
IMPATIENT = [
    *("--profile", "profiles/slurm"),
    *("--slurm-init-seconds-before-status-checks", "9"),  # about as long as a job takes
    *("--latency-wait", "10"),
    *("--set-threads", "generate=1", "answer=1", "finetune=1", "profile=1"),
    *("--set-scatter", "shards=2", "scoring=1"),
    "--slurm-keep-successful-logs",
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A Slurm with the partitions that the profile names."""
    require()
    with Slurm(tmp_path_factory.mktemp("slurm"), PARTITIONS, LIMIT) as running:
        yield running


def until(
    what: str, found: Callable[[], bool], run: subprocess.Popen[bytes], log: Path, seconds: float
) -> None:
    """Return once `found()`; fail when the run ends, or the time is over, before."""
    deadline = time.monotonic() + seconds
    while not found():
        assert run.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, f"no {what}: {log.read_text(encoding='utf-8')}"
        time.sleep(0.1)


def finish(run: subprocess.Popen[bytes], log: Path, seconds: float) -> str:
    """Return the output of a run, which must succeed; one that hangs is interrupted."""
    try:
        code = run.wait(seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        run.wait(60)
        raise
    printed = log.read_text(encoding="utf-8")
    assert code == 0, printed
    return printed


def test_a_study_through_slurm(finished: Workshop, workshop: Workshop, slurm: Slurm) -> None:
    """Its training sets equal those of the local run, though one of its jobs was cancelled."""
    targets = [str(RESULTS / f"datasets/{name}/train.jsonl") for name in SETS]
    targets.append(str(RESULTS / STUDENT / "manifest.json"))
    log = workshop.folder.parent / "started.log"
    run = workshop.start(*targets, *IMPATIENT)

    started = workshop.results / "logs/generate/ant/instructions/1-of-2.log"
    until("job", started.exists, run, log, 120)
    (victim,) = [n for n, comment in slurm.jobs("R") if "ant" in comment and "1-of-2" in comment]
    slurm.cancel(victim)

    printed = finish(run, log, 300)
    assert "Trying to restart job" in printed
    assert [number for number, _ in slurm.jobs("CA")] == [victim]
    # Shards of two teachers, scores by length of both and toxicity of one, three sets, a student.
    assert len(slurm.jobs("CD")) == 4 + 3 + 3 + 1
    outcome = ["generations/*/*/candidates.jsonl", "datasets/*/train.jsonl", *TRAINED]
    made, expected = workshop.bytes_of(*outcome), finished.bytes_of(*outcome)
    assert len(made) == 2 + 3 + 2
    assert made == {file: expected[file] for file in made}
    # The cache that $HEIRLOOM_CACHE names reached the jobs.
    assert any(workshop.cache.glob("generations/*/part-*.jsonl"))


def test_a_daemon_that_is_killed_costs_nothing(
    finished: Workshop, copied: Workshop, slurm: Slurm
) -> None:
    """SIGKILL of slurmd while its node trains a student: started again, it finds the job."""
    shutil.rmtree(copied.results / STUDENT)
    started = copied.results / f"logs/finetune/{Path(STUDENT).name}.log"
    started.unlink()
    log = copied.folder.parent / "started.log"
    run = copied.start(str(RESULTS / STUDENT / "manifest.json"), *IMPATIENT)
    until("job", started.exists, run, log, 120)
    slurm.daemons["slurmd"].kill()
    slurm.daemons["slurmd"].wait()
    slurm.start_slurmd()
    assert "Trying to restart job" not in finish(run, log, 300)
    assert copied.bytes_of(*TRAINED) == finished.bytes_of(*TRAINED)


def test_a_job_out_of_memory_gets_more(finished: Workshop, copied: Workshop, slurm: Slurm) -> None:
    """Somebody overruled the formula with too little: Slurm kills it, the next attempt has more."""
    shutil.rmtree(copied.results / STUDENT)
    log = copied.folder.parent / "started.log"
    before = slurm.jobs("F", "OOM", "CA")
    too_little = ("--set-resources", "finetune:mem_mb=400*attempt")
    run = copied.start(str(RESULTS / STUDENT / "manifest.json"), *IMPATIENT, *too_little)
    assert "Trying to restart job" in finish(run, log, 300)
    assert len(slurm.jobs("F", "OOM", "CA")) > len(before)
    assert copied.bytes_of(*TRAINED) == finished.bytes_of(*TRAINED)
