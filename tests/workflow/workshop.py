"""A copy of the repository in which Snakemake runs as a user runs it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
WORKFLOW = [
    *("Snakefile", "rules", "scripts", "heirloom", "report", "profiles", "config", "envs"),
    "snakemake_logger_plugin_heirloom",
]
RESULTS = Path("results/tiny")
PATIENCE = 300  # seconds: a busy machine may take two minutes to its first completion

# Prompts that do not fit the tiny model's context of 256 tokens. Their ids decide their split.
LONG_PROMPTS = {"long-1": "train", "long-4": "eval"}


# What no file may hold that a run leaves behind.
SECRETS = {
    "HF_TOKEN": "hf_canaryInTheCoalMine",
    "OPENAI_API_KEY": "sk-canaryInTheCoalMine",
    "PIP_INDEX_URL": "https://jane:pw-canaryInTheCoalMine@localhost:9/simple",
}

# Eight pairs in the form of CrowS-Pairs.
PAIRS = "sent_more,sent_less,stereo_antistereo,bias_type\n" + "".join(
    f"The {more} lost the key number {n}.,The {less} lost the key number {n}.,{direction},age\n"
    for n, direction in enumerate(["stereo", "antistereo"] * 4)
    for more, less in [("old man", "young man")]
)


@dataclass(frozen=True)
class Job:
    """One job of a dry-run: its rule, its wildcards and why it runs."""

    rule: str
    wildcards: dict[str, str]
    reason: str

    @property
    def name(self) -> str:
        """Rule and wildcards in one word: `score ant instructions mtld`."""
        return " ".join([self.rule, *self.wildcards.values()])


class Workshop:
    """A folder with the workflow and the tiny study in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = folder / "tiny.yaml"
        self.results = folder / RESULTS
        self.cache = folder.parent / "cache"
        self.prefix: list[str] = []
        # A cache of its own, and none of the variables that would reach around it.
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST"))},
            "HEIRLOOM_CACHE": str(self.cache),
            "XDG_CACHE_HOME": str(self.cache),
            "OMP_NUM_THREADS": "1",
        }

    @classmethod
    def make(cls, folder: Path, model: Path) -> "Workshop":
        """Copy the workflow and the tiny study's files into `folder`."""
        folder.mkdir(parents=True)
        for name in WORKFLOW:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        shutil.copy2(ROOT / ".gitignore", folder)
        shutil.copy2(TINY, folder / "tiny.yaml")
        shutil.copytree(model, folder / "tiny-model")
        lines = (ROOT / "resources/prompts/instructions.jsonl").read_text("utf-8").splitlines()
        lines = lines[:240:16]  # 15 short ones
        for name in LONG_PROMPTS:
            prompt = {"id": name, "instruction": f"Repeat {name}: " + "blue " * 400, "input": ""}
            lines.append(json.dumps(prompt))
        (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "pairs.csv").write_text(PAIRS, encoding="utf-8")
        return cls(folder)

    def copy(self, folder: Path) -> "Workshop":
        """The same folder with everything that was made in it, times of change included."""
        shutil.copytree(self.folder, folder)
        return Workshop(folder)

    def edit_study(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Load the study file, let `change` work on it, and write it back."""
        study = yaml.safe_load(self.study.read_text(encoding="utf-8"))
        change(study)
        self.study.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command line of a run of the tiny study."""
        run = [*self.prefix, sys.executable, "-m", "snakemake"]
        # Two shards, unless an argument says otherwise, and what it names stays a target.
        run += ["--set-scatter", "shards=2", "--cores", "2", *arguments]
        return [*run, "--configfile", "tiny.yaml"]

    def run(self, *arguments: str, fails: bool = False, default: bool = False) -> str:
        """Run Snakemake to its end; return what it printed.

        Args:
            arguments: of snakemake.
            fails: the run must fail; otherwise it must succeed.
            default: run the default study and not the tiny one.
        """
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(
            command if default else self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Snakemake as the leader of a process group of its own."""
        with (self.folder.parent / "started.log").open("ab") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def plan(self, *arguments: str) -> list[Job]:
        """The jobs that a dry-run announces."""
        return read_jobs(self.run("--dry-run", *arguments))

    def bytes_of(self, *patterns: str) -> dict[str, bytes]:
        """Path to content of the files below the results that match."""
        return {
            str(path.relative_to(self.results)): path.read_bytes()
            for pattern in patterns
            for path in sorted(self.results.glob(pattern))
        }


def read_jobs(output: str) -> list[Job]:
    """The jobs in what a dry-run prints."""
    jobs = []
    for block in re.split(r"^(?=(?:local)?rule )", output, flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, flags=re.MULTILINE))
        pairs = [p.split("=", 1) for p in fields.get("wildcards", "").split(", ") if p]
        name = re.match(r"(?:local)?rule (\w+)", block)
        assert name is not None
        jobs.append(Job(name[1], dict(pairs), fields.get("reason", "")))
    return jobs


def wait_for(pattern: str, workshop: Workshop, run: subprocess.Popen[bytes]) -> None:
    """Return as soon as a file below the results, or in the cache, matches `pattern`."""
    deadline = time.monotonic() + PATIENCE
    while not any(any(f.glob(pattern)) for f in (workshop.results, workshop.cache)):
        assert run.poll() is None, (workshop.folder.parent / "started.log").read_text()
        assert time.monotonic() < deadline, f"nothing matches {pattern}"
        time.sleep(0.002)


def kill(run: subprocess.Popen[bytes], *, group: bool) -> None:
    """SIGKILL a run: all its processes, or the one that the user started."""
    (os.killpg if group else os.kill)(run.pid, signal.SIGKILL)
    run.wait()


def cut_off() -> list[str]:
    """A command prefix that takes the network away; empty where this user may not."""
    prefix = ["unshare", "--net"]
    possible = (
        shutil.which("unshare") and not subprocess.run([*prefix, "true"], check=False).returncode
    )
    return prefix if possible else []
