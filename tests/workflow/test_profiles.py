"""The profiles of the repository, as they are, on the tiny study."""

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from workshop import RESULTS, Workshop, read_jobs, wait_for

MODEL_RULES = {"generate", "answer", "finetune", "profile", "compare_answers"}


def resources_of(printed: str) -> dict[str, list[dict[str, str]]]:
    """Rule to the resources of its jobs, as a dry-run prints them."""
    found: dict[str, list[dict[str, str]]] = {}
    for block in re.split(r"^(?=(?:local)?rule )", printed, flags=re.MULTILINE)[1:]:
        (job,) = read_jobs(block)
        listed = re.search(r"^    resources: (.*)$", block, re.MULTILINE)
        assert listed is not None, block
        pairs = dict(pair.split("=", 1) for pair in listed[1].split(", "))
        found.setdefault(job.rule, []).append(pairs)
    return found


def test_every_job_says_what_it_needs_and_none_asks_for_a_gpu(workshop: Workshop) -> None:
    """Without a profile there is no GPU, and every job is one of a thread."""
    printed = workshop.run("--dry-run")
    assert "threads:" not in printed  # printed from two on
    for rule, jobs in resources_of(printed).items():
        for job in jobs if rule != "all" else ():
            assert job["mem_mb"].isdigit() and job["runtime"].isdigit(), rule
            assert "gpu" not in job, rule


@pytest.mark.parametrize("profile", ["slurm", "local-gpu"])
def test_rules_with_a_model_ask_for_what_the_profile_has(workshop: Workshop, profile: str) -> None:
    def grow(study: dict) -> None:
        study["models"]["bee"]["parameters"] = 1.04e11

    workshop.edit_study(grow)
    if profile == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm")
    printed = workshop.run("--dry-run", "--profile", f"profiles/{profile}", "--resources", "gpu=99")
    found = resources_of(printed)
    for rule, jobs in found.items():
        for job in jobs:
            assert ("gpu" in job) == (rule in MODEL_RULES), rule
    # 1.04e11 parameters of four bytes, as the tiny study is in float32: 416 GB of weights.
    assert {job["gpu"] for job in found["generate"]} == {"1", "8"}
    partitions = {job.get("slurm_partition") for job in found["generate"]}
    assert partitions == ({"gpu"} if profile == "slurm" else {None})


def test_each_job_of_a_machine_with_gpus_has_its_own(workshop: Workshop) -> None:
    """Two GPUs that are none: jobs that overlapped must not have had the same."""
    workshop.environment["CUDA_VISIBLE_DEVICES"] = "0,1"
    target = str(RESULTS / "generations/ant/instructions/candidates.jsonl")
    fitting = ["--resources", "gpu=2", "--set-threads", "generate=1"]
    fitting += ["--set-scatter", "shards=3"]
    workshop.run(target, "--profile", "profiles/local-gpu", *fitting)
    spans = []
    for log in workshop.results.glob("logs/generate/*/*/*-of-*.log"):
        text = log.read_text(encoding="utf-8")
        (gpu,) = re.findall(r"heirloom.support.gpus: on GPU (\S+)$", text, re.MULTILINE)
        times = re.findall(r"^(\S+ \S+) INFO", text, re.MULTILINE)
        start, end = (datetime.strptime(t, "%Y-%m-%d %H:%M:%S,%f") for t in (times[0], times[-1]))
        spans.append((gpu, start, end))
    assert len(spans) == 3
    assert {gpu for gpu, _, _ in spans} == {"0", "1"}
    spans.sort(key=lambda span: span[1])
    for gpu, start, end in spans:
        beside = [g for g, s, e in spans if (g, s, e) != (gpu, start, end) and start < s < end]
        assert gpu not in beside


KUBECTL = """#!{python}
import os, signal, subprocess, sys
from pathlib import Path
import yaml

jobs = Path(__file__).parent / "jobs"
jobs.mkdir(exist_ok=True)
verb, *arguments = sys.argv[1:]
if verb == "create":
    manifest = yaml.safe_load(sys.stdin)
    job = jobs / (manifest["metadata"]["generateName"] + str(len(list(jobs.iterdir()))))
    job.mkdir()
    (job / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    run = 'echo $$ > pid; cd "$1"; shift; "$@" > "$0/log" 2>&1; echo $? > "$0/code"'
    subprocess.Popen(
        ["sh", "-c", run, str(job), os.getcwd(), *container["command"]],
        cwd=job, start_new_session=True, stdout=subprocess.DEVNULL,
    )
    print(f"job.batch/{{job.name}}")
elif verb == "get":
    job = jobs / arguments[0].removeprefix("job.batch/")
    code = job / "code"
    if job.exists():
        done = code.read_text().strip() if code.exists() else ""
        print(job.name, {{"": "", "0": "Complete"}}.get(done, "Failed"), end=" ")
elif verb == "delete":
    for name in arguments[2:]:
        job = jobs / name.removeprefix("job.batch/")
        os.killpg(int((job / "pid").read_text()), signal.SIGKILL)
        job.rename(job.with_name("deleted-" + job.name))
"""


def test_jobs_of_kubernetes(finished: Workshop, workshop: Workshop, tmp_path: Path) -> None:
    """Its scripts with a kubectl that runs each Job here; one that is deleted is tried again."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    workshop.environment["PATH"] = f"{kubectl.parent}:{workshop.environment['PATH']}"
    workshop.environment["CUDA_VISIBLE_DEVICES"] = "0"
    impatient = ["--seconds-between-status-checks", "1", "--latency-wait", "10"]
    scatter = ["--set-scatter", "shards=1", "scoring=1"]
    run = workshop.start(
        str(RESULTS / "datasets/length-ant/train.jsonl"),
        *("--profile", "profiles/kubernetes", *impatient, *scatter),
        *("--set-threads", "generate=1"),
    )
    wait_for("logs/generate/ant/instructions/1-of-1.log", workshop, run)
    jobs = kubectl.parent / "jobs"
    (name,) = [job.name for job in jobs.iterdir()]
    cancel = workshop.folder / "profiles/kubernetes/cancel.sh"
    subprocess.run([cancel, f"job.batch/{name}"], env=workshop.environment, check=True)
    printed = workshop.folder.parent / "started.log"
    assert run.wait(300) == 0, printed.read_text(encoding="utf-8")
    assert "Trying to restart job" in printed.read_text(encoding="utf-8")

    made = workshop.bytes_of("datasets/*/train.jsonl")
    assert made == finished.bytes_of("datasets/length-ant/train.jsonl")
    asked = {}
    for manifest in jobs.glob("heirloom-*/manifest.yaml"):
        job = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        (container,) = job["spec"]["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        asked[job["metadata"]["generateName"]] = (limits["nvidia.com/gpu"], limits["memory"])
    # The tiny model's second attempt has twice the memory of a process and a few hundred kB.
    assert asked["heirloom-generate-"] == ("1", "2402M")
    assert asked["heirloom-score-"][0] == asked["heirloom-select-"][0] == "0"
