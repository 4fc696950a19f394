"""Runs that are killed, that meet each other or damaged input, or that have no room left."""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workshop import PATIENCE, RESULTS, Workshop, kill, wait_for

CANDIDATES = "generations/ant/instructions/candidates.jsonl"
STUDENT = "students/ant.length-ant.s1"
OUTCOME = [
    "prompts/*/train.jsonl",
    CANDIDATES,
    "scores/ant/*/length.jsonl",
    "datasets/length-ant/*.json*",
    f"{STUDENT}/adapter_model.safetensors",
    f"{STUDENT}/manifest.json",
]


def target(file: str) -> str:
    return str(RESULTS / file)


class Batches:
    """Files of finished batches: a batch made twice is two files."""

    def __init__(self, workshop: Workshop) -> None:
        self.folder = workshop.cache / "generations"
        self.files: dict[str, set[tuple[int, int]]] = defaultdict(set)

    def look(self) -> None:
        for path in self.folder.glob("**/part-*.jsonl"):
            try:
                found = path.stat()
            except FileNotFoundError:  # its job has just ended
                continue
            self.files[str(path)].add((found.st_ino, found.st_mtime_ns))

    def made_again(self) -> list[str]:
        return [path for path, seen in self.files.items() if len(seen) > 1]


@pytest.mark.parametrize("group", [True, False], ids=["all-processes", "snakemake-alone"])
def test_a_killed_run_goes_on_where_it_was(
    finished: Workshop, workshop: Workshop, group: bool
) -> None:
    """Killed while generating and again while finetuning; the same command three times.

    It ends with the bytes of a study that ran without a break in another folder.
    """
    command = target(f"{STUDENT}/manifest.json")
    batches = Batches(workshop)

    run = workshop.start(command)
    wait_for("generations/*/part-*.jsonl", workshop, run)
    kill(run, group=group)
    batches.look()
    assert batches.files
    assert not (workshop.results / CANDIDATES).exists()

    run = workshop.start(command)
    deadline = time.monotonic() + PATIENCE
    while not any(workshop.results.glob("work/finetune/*/checkpoint-*/trainer_state.json")):
        assert run.poll() is None and time.monotonic() < deadline
        batches.look()
        time.sleep(0.002)
    kill(run, group=group)
    assert not batches.made_again()
    assert not (workshop.results / f"{STUDENT}/manifest.json").exists()

    workshop.run(command)
    log = (workshop.results / "logs/finetune/ant.length-ant.s1.log").read_text(encoding="utf-8")
    if group:  # otherwise the job that was left alone may have come to its end by now
        assert "resuming from checkpoint-" in log
    made = workshop.bytes_of(*OUTCOME)
    assert len(made) == 1 + 1 + 1 + 2 + 2
    assert made == finished.bytes_of(*OUTCOME)


def test_a_second_run_in_the_folder_is_refused(workshop: Workshop) -> None:
    run = workshop.start(target("plan.json"))
    wait_for("logs/report/plan.log", workshop, run)
    os.killpg(run.pid, signal.SIGSTOP)
    try:
        printed = workshop.run(target("plan.json"), "--force", fails=True)
    finally:
        os.killpg(run.pid, signal.SIGCONT)
    assert f"another run is working on {RESULTS}" in printed
    assert "Traceback" not in printed
    assert run.wait() == 0
    # The lock is gone with the run that held it.
    assert "Nothing to be done" in workshop.run(target("plan.json"))


def test_a_damaged_model_is_named(workshop: Workshop) -> None:
    weights = workshop.folder / "tiny-model/model.safetensors"
    with weights.open("r+b") as handle:
        handle.truncate(1000)
    printed = workshop.run(target("generations/ant/instructions/shards/1-of-2.jsonl"), fails=True)
    said = "tiny-model/model.safetensors (1000 bytes) is empty, truncated or damaged"
    assert said in printed
    assert "Traceback (most recent call last)" not in printed
    log = workshop.results / "logs/fetch/model-ant.log"
    assert said in log.read_text(encoding="utf-8")
    # Told again, in one line, after everything else.
    end = printed[printed.rindex("1 of the jobs failed:") :].splitlines()
    assert end[1].startswith(f"  - fetch_model ant: {said}")
    assert end[1].endswith("model-ant.log]")


def test_a_prompt_file_without_prompts_is_named(workshop: Workshop) -> None:
    (workshop.folder / "prompts.jsonl").write_text("", encoding="utf-8")
    printed = workshop.run(target("prompts/instructions/train.jsonl"), fails=True)
    assert "prompts.jsonl has no prompt." in printed
    assert "Traceback (most recent call last)" not in printed


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put what is in `folder` on a file system of 8 MB."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount the small file system that this test fills")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Leave no byte free on the file system of `path`."""
    with path.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("lost", "file"),
    [("generations/ant", CANDIDATES), (STUDENT, f"{STUDENT}/manifest.json")],
    ids=["generating", "finetune"],
)
def test_a_full_disk_costs_nothing_that_was_finished(
    finished: Workshop, copied: Workshop, lost: str, file: str
) -> None:
    with small_disk(copied.folder / "results"):
        shutil.rmtree(copied.results / lost)
        kept = copied.bytes_of("**/*.json", "**/*.jsonl", "**/*.safetensors")
        ballast = copied.results / "ballast"
        fill(ballast)
        printed = copied.run(target(file), fails=True)
        assert "No space left on device" in printed
        assert "run the same command again" in printed
        assert not (copied.results / file).exists()
        now = copied.bytes_of("**/*.json", "**/*.jsonl", "**/*.safetensors")
        assert {path: now.get(path) for path in kept} == kept

        ballast.unlink()
        copied.run(target(file))
        assert copied.bytes_of(*OUTCOME) == finished.bytes_of(*OUTCOME)
