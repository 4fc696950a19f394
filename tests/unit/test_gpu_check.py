"""`make gpu-check` on the processor, with nothing installed but what it says it needs."""

import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from toy_sections import fails, sleeps

from benchmarks.gpu_process import apart
from benchmarks.gpu_sections import SECTIONS, SHAPES, Section

NEEDED = ("torch", "transformers", "peft", "accelerate")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the needed packages, what they require, and no others."""
    folder = tmp_path_factory.mktemp("bare")
    names, seen = list(NEEDED), set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of another platform
            continue
        for file in found.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
        required = [r for r in found.requires or [] if "extra ==" not in r]
        names += [re.split(r"[^\w.-]", requirement)[0] for requirement in required]
    assert "snakemake" not in seen and "pandas" not in seen and "openvino" not in seen
    return folder


def gpu_check(root: Path, *paths: Path, device: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import runpy, sys; sys.path[:0] = {[str(root), *map(str, paths)]}; "
        f"sys.argv = ['gpu_check', '--device', '{device}', '--limit', '3000']; "
        "runpy.run_module('benchmarks.gpu_check', run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-E", "-S", "-c", code],  # -S: no site-packages
        cwd=root,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_needs_four_packages(root: Path, bare: Path) -> None:
    done = gpu_check(root, bare, device="cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    table, _, last = done.stdout.strip().rpartition("\n")
    sections = json.loads(last)["sections"]
    assert list(sections) == ["agreement", "making the model", *SECTIONS]
    assert {name: found["skipped"] for name, found in sections.items() if "skipped" in found} == {
        "training, TRL": "needs trl",
        "training, heirloom, 4 bit": "needs bitsandbytes and a GPU",
        "tiny study": "needs snakemake",
    }
    rows = {row[0]: row[1:] for row in re.findall(r"^\| (.+?) \| (.*?) \|", table, re.MULTILINE)}
    assert rows.keys() == {"section", *sections}
    shape = SHAPES["tiny"]
    written = shape.prompts * shape.samples * shape.new_tokens
    measured = ["generation, transformers", "generation, continuous batching"]
    # Ours ends at an end token; the others were told to go on.
    assert [sections[name]["tokens"] for name in measured] == [written, written]
    assert 0 < sections["generation, heirloom"]["tokens"] <= written
    both = [sections[f"scoring, {name}"] for name in ("heirloom", "plain batches")]
    assert both[0]["tokens"] == both[1]["tokens"]
    # Sums over 28 tokens whose logits are rounded to 8 bits; a wrong mask is off by whole units.
    assert both[0]["largest_difference"] < 0.5
    trained = shape.examples * (shape.prompt_tokens + shape.new_tokens)
    for name in ("training, heirloom", "training, heirloom, checkpointing"):
        assert sections[name]["tokens"] == trained
    # Recomputed activations are the same.
    losses = [sections[f"training, heirloom{name}"]["loss"] for name in ("", ", checkpointing")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    for found in sections.values():
        assert "skipped" in found or "seconds" in found


def test_a_section_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    section = Section(tmp_path, tmp_path, SHAPES["tiny"], "cpu")
    for seconds in (20, 90, 400):  # of which Python takes some to start
        assert apart(sleeps, section, seconds) == {"skipped": f"not finished within {seconds} s"}
        if (tmp_path / "child").exists():
            break
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    assert _is_dead(child)  # what it started is ended, too
    assert apart(sleeps, section, 2.0) == {"skipped": "no time was left"}


def _is_dead(process: int) -> bool:
    """Wait ten seconds until a process is gone, or waits for nothing but to be reaped."""
    status = Path(f"/proc/{process}/stat")
    for _ in range(200):
        try:
            if status.read_text(encoding="utf-8").split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_section_that_fails_is_named(tmp_path: Path) -> None:
    section = Section(tmp_path, tmp_path, SHAPES["tiny"], "cpu")
    assert apart(fails, section, 300.0) == {"failed": "ValueError: no such thing"}


def test_without_a_gpu_it_says_so_in_one_line(root: Path, bare: Path) -> None:
    done = gpu_check(root, bare, device="cuda")
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(
        r"gpu-check: torch \S+ finds no CUDA device\. DEVICE=cpu runs .*\n", done.stderr
    )
