"""After a change, a dry-run announces what depends on it and nothing else."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from workshop import RESULTS, Job, Workshop

TEACHERS = ["ant", "bee"]
ACTIVE = ["length-ant", "length-multi", "mtld-multi", "toxicity-ant"]
DATASETS = ["passive-ant", "passive-bee", "random-multi", *ACTIVE]
TRIPLE = (
    '{"type": "intrasentence", "target": "nurse", "bias_type": "gender", "stereotype": "She nods.",'
    ' "anti-stereotype": "She fights.", "unrelated": "She ovens."}\n'
)
#: The judges of the study, to which every student adds comparisons.
COMPARED = {f"compare_answers {teacher}" for teacher in TEACHERS}
TAIL = {"tables", "overlap", "costs", "figures", "report", "cards", "crate", "all"}
END = TAIL | {"candidates"}  # with the file of all candidates, which shows no profile


def students(datasets: Iterable[str]) -> list[str]:
    return [f"ant.{dataset}.s1" for dataset in datasets]


def scored(*metrics: str) -> set[str]:
    return {
        job
        for teacher in TEACHERS
        for metric in metrics
        for job in (
            f"score {teacher} instructions {metric} 1-of-1",
            f"gather_scores {teacher} instructions {metric}",
        )
    }


def trained(datasets: Iterable[str]) -> set[str]:
    """Everything from choosing these training sets to profiling their students."""
    made = {f"select {dataset}" for dataset in datasets}
    made |= {f"finetune {student}" for student in students(datasets)}
    return made | profiled(students(datasets))


def profiled(models: Iterable[str]) -> set[str]:
    """One job per model, and what judges compare: what was written and scored before is kept."""
    return {f"profile {model}" for model in models} | COMPARED


MODELS = [*TEACHERS, *students(DATASETS)]
GENERATED = {f"generate {t} instructions {n}-of-2" for t in TEACHERS for n in (1, 2)} | {
    f"gather_candidates {teacher} instructions" for teacher in TEACHERS
}
ALL_SCORED = scored("length", "mtld", "toxicity")
ANSWERED = {*(f"answer {teacher}" for teacher in TEACHERS), "pair"}  # what judges are shown

EDITS = {
    # An objective: its scores, what was chosen by them, and the profiles that use it.
    "heirloom/objectives/mtld.py": scored("mtld")
    | trained(["mtld-multi"])
    | profiled(MODELS)
    | END,
    "heirloom/objectives/profanity.py": scored("toxicity")
    | trained(["toxicity-ant"])
    | profiled(MODELS)
    | END,
    # The definition of a word, for all scorers and the text profile.
    "heirloom/objectives/words.py": ALL_SCORED | trained(ACTIVE) | profiled(MODELS) | END,
    "heirloom/select/training_set.py": trained(DATASETS) | END,
    # A strategy: the training sets that it selects.
    "heirloom/select/strategies/best.py": trained(ACTIVE) | END,
    # The back end that the study has: everything that a model of it generates.
    "heirloom/generate/decoders/openvino.py": GENERATED
    | ALL_SCORED
    | ANSWERED
    | trained(DATASETS)
    | profiled(TEACHERS)
    | END,
    "heirloom/statistics/estimates.py": profiled(MODELS) | {"pair"} | END,
    "heirloom/profiling/toxicity.py": profiled(MODELS) | TAIL,
    "report/captions/changes.rst": {"report", "crate", "all"},
    "report/report.html.j2": {"report", "crate", "all"},
    "heirloom/analyse/tables/changes.py": TAIL - {"costs", "overlap"},
    "heirloom/report/figures/passive.py": {"figures", "report", "crate", "all"},
    "heirloom/support/log.py": set(),
    "prompts.jsonl": {f"{rule}_prompts instructions" for rule in ("fetch", "train", "eval")}
    | GENERATED
    | ALL_SCORED
    | ANSWERED
    | trained(DATASETS)
    | profiled(TEACHERS)
    | END,
    "tiny-model/model.safetensors": {f"fetch_model {teacher}" for teacher in TEACHERS}
    | GENERATED
    | ALL_SCORED
    | ANSWERED
    | trained(DATASETS)
    | profiled(TEACHERS)
    | END,
}


def edit(path: Path) -> None:
    """Change the content: a comment for code, an empty line for everything else."""
    with path.open("ab") as handle:
        handle.write(b"# edited\n" if path.suffix == ".py" else b"\n")


def names(jobs: Iterable[Job]) -> set[str]:
    return {job.name for job in jobs}


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_re_runs_what_depends_on_the_file(copied: Workshop, file: str) -> None:
    edit(copied.folder / file)
    jobs = copied.plan()
    assert names(jobs) == EDITS[file]
    assert all(job.reason for job in jobs)
    if jobs:
        # The file is given as the reason, unless it is a model's, of which there may be many.
        assert any(file in job.reason for job in jobs)


def test_touching_a_file_re_runs_nothing(copied: Workshop) -> None:
    for file in ("heirloom/select/training_set.py", "report/report.html.j2", "prompts.jsonl"):
        (copied.folder / file).touch()
    assert copied.plan() == []


def test_fewer_eval_prompts_train_nothing_again(copied: Workshop) -> None:
    """And of the profiles those measure again that need the eval prompts."""
    copied.edit_study(lambda study: study["prompts"]["instructions"].update(eval=4))
    jobs = names(copied.plan())
    assert jobs == {"eval_prompts instructions", "plan"} | ANSWERED | profiled(MODELS) | END


def test_a_setting_of_a_benchmark_re_runs_the_profiles(copied: Workshop) -> None:
    def shorten(study: dict[str, Any]) -> None:
        study["profiling"]["text"]["max_new_tokens"] = 12

    copied.edit_study(shorten)
    jobs = copied.plan()
    assert names(jobs) == profiled(MODELS) | {"plan"} | END
    reasons = {job.reason for job in jobs if job.rule == "profile"}
    assert all("Params have changed" in reason for reason in reasons)


@pytest.mark.parametrize("shards", [1, 4])  # of three parts: one of four has nothing to do
def test_another_number_of_shards_gives_the_same_bytes(copied: Workshop, shards: int) -> None:
    """Generated anew: candidates, scores and training sets are as before."""
    outcome = ["generations/*/*/candidates.jsonl", "scores/*/*/*.jsonl", "datasets/*/train.jsonl"]
    before = copied.bytes_of(*outcome)
    for folder in ("generations", "scores", "datasets"):
        shutil.rmtree(copied.results / folder)
    sets = ["length-ant", "toxicity-ant"]
    scatter = ["--set-scatter", f"shards={shards}", f"scoring={shards}"]
    copied.run(*(str(RESULTS / f"datasets/{name}/train.jsonl") for name in sets), *scatter)
    after = copied.bytes_of(*outcome)
    assert len(after) == 1 + 2 + 2  # candidates, scores by length and by toxicity, sets
    assert after == {file: before[file] for file in after}
    made = copied.bytes_of("generations/ant/*/shards/*", "scores/ant/*/shards/length/*")
    names = [f"{shard}-of-{shards}.jsonl" for shard in range(1, shards + 1)]
    assert sorted(Path(file).name for file in made) == sorted(2 * names)


def test_a_run_that_names_no_number_of_shards_keeps_the_one_there_is(copied: Workshop) -> None:
    """Two, which this command does not say. A look without the profile makes nothing again."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "tiny.yaml"]
    done = subprocess.run(
        command, cwd=copied.folder, env=copied.environment, capture_output=True, text=True
    )
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_new_objective_adds_jobs_and_repeats_none(copied: Workshop) -> None:
    (copied.folder / "heirloom/objectives/shouting.py").write_text(
        '"""Shouting."""\n\n'
        "from heirloom.objectives import scorer\n\n\n"
        '@scorer("shouting", label="Shouting", unit="share of letters")\n'
        "def shouting(texts: list[str]) -> list[float | None]:\n"
        '    """Share of letters that are capitals."""\n'
        "    return [sum(map(str.isupper, t)) / len(t) if t else None for t in texts]\n",
        encoding="utf-8",
    )

    def add(study: dict[str, Any]) -> None:
        study["metrics"]["shouting"] = {"function": "shouting"}
        study["objectives"]["shouting"] = {
            "metric": "shouting",
            "direction": "maximise",
        }

    copied.edit_study(add)
    # The answers of the models that there are get their scores, too: one job per model, which
    # reads what was generated.
    expected = scored("shouting") | trained(["shouting-ant", "shouting-multi"]) | profiled(MODELS)
    assert names(copied.plan()) == expected | {"plan"} | END


def test_a_new_teacher_adds_jobs_and_repeats_none(copied: Workshop) -> None:
    def add(study: dict[str, Any]) -> None:
        study["models"]["cat"] = {"sources": [{"path": "tiny-model"}], "template": "{prompt}"}
        study["teachers"].append("cat")

    copied.edit_study(add)
    new = {f"generate cat instructions {n}-of-2" for n in (1, 2)}
    for metric in ("length", "mtld", "toxicity"):
        new |= {
            f"score cat instructions {metric} 1-of-1",
            f"gather_scores cat instructions {metric}",
        }
    new |= {"fetch_model cat", "gather_candidates cat instructions", "profile cat"}
    assert names(copied.plan()) == new | trained(["passive-cat"]) | {"plan"} | END


def test_a_new_seed_adds_jobs_and_repeats_none(copied: Workshop) -> None:
    def add(study: dict[str, Any]) -> None:
        study["finetune"]["seeds"] = [1, 2]

    copied.edit_study(add)
    new = {student.replace(".s1", ".s2") for student in students(DATASETS)}
    assert names(copied.plan()) == {f"finetune {s}" for s in new} | profiled(new) | {"plan"} | END


def test_a_new_benchmark_scores_nothing_twice(copied: Workshop) -> None:
    def add(study: dict[str, Any]) -> None:
        study["profiling"]["stereoset"] = {"data": "triples"}
        study["data"]["triples"] = {"sources": [{"path": "triples.jsonl"}]}

    (copied.folder / "triples.jsonl").write_text(TRIPLE, encoding="utf-8")
    copied.edit_study(add)
    jobs = copied.plan()
    assert names(jobs) == profiled(MODELS) | {"fetch_data", "plan"} | END
    # There is one job per model, but what the other benchmarks generated and scored is read, not
    # made.
    before = {f: f.stat().st_mtime_ns for f in copied.results.glob("work/profile/**/*.jsonl")}
    assert before
    copied.run(f"{copied.results.relative_to(copied.folder)}/profiles/ant/stereoset.json")
    assert before == {f: f.stat().st_mtime_ns for f in before}
