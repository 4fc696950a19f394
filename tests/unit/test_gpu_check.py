"""`make gpu-check` on the processor, with nothing installed but what it says it needs."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

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
        f"sys.argv = ['gpu_check', '--device', '{device}']; "
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
    rows = re.findall(r"\| ([\w, ]+) \| (\d+) \| (\d+) \| none \|", done.stdout)
    assert [row[0] for row in rows] == [
        "generation",
        "scoring",
        "finetuning",
        "generation, student",
    ]
    assert all(int(n) > 0 and int(rate) > 0 for _, n, rate in rows)
    assert done.stdout.endswith("Everything ran, and agrees with itself.\n")


def test_without_a_gpu_it_says_so_in_one_line(root: Path, bare: Path) -> None:
    done = gpu_check(root, bare, device="cuda")
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(
        r"gpu-check: torch \S+ finds no CUDA device\. DEVICE=cpu runs .*\n", done.stderr
    )
