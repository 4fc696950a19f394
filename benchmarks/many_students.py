"""Time and memory of the report of a study with 300 students, and the size of its page.

The results are synthetic: numbers and words are drawn, files, tables, figures and report are
written by heirloom. Nine bases, 34 training sets of four teachers, 20,000 train prompts for
instructions and 100 for toxicity, ten candidates per prompt and teacher, 100 eval prompts,
benchmarks `text` and `toxicity`. Each stage is timed in its own process, in processor seconds with
imports, with the peak memory of that process. Run from the repository's folder:

    .venv/bin/python -m benchmarks.many_students
"""

import random
import subprocess
import sys
import tempfile
import time
from functools import cache
from itertools import combinations
from pathlib import Path

from benchmarks.peak import own_peak
from heirloom.analyse.tables import write_tables
from heirloom.objectives.scoring import score_candidates
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.engines.descriptives import describe
from heirloom.profiling.metrics import summarise
from heirloom.profiling.profile import Profile
from heirloom.report.figures import write_figures
from heirloom.report.page import write_page
from heirloom.select.training_set import TrainingSet, build_training_set, read_sources
from heirloom.study.config import study_type
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan, make_plan
from heirloom.support.files import Record, write_json, write_jsonl

STAGES = {
    "tables": write_tables,
    "figures": write_figures,
    "report": lambda root: write_page(root, apart=[], command="snakemake"),
}
PROMPTS = 100
TRAIN = {"instructions": 20_000, "provoking": PROMPTS}
WORDS = Path("resources/prompts/instructions.jsonl").read_text(encoding="utf-8").split()


def main() -> None:
    """Print a table; with a stage and a folder, print what that stage takes there."""
    if len(sys.argv) > 1:
        print(*measure(*sys.argv[1:]))
        return
    with tempfile.TemporaryDirectory() as folder:
        n_students = make_study(Path(folder))
        print(f"{n_students} students\n\n| stage | seconds | peak memory, MB |\n|---|---|---|")
        for stage in STAGES:
            command = [sys.executable, "-m", "benchmarks.many_students", stage, folder]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            seconds, memory = map(float, printed.split())
            print(f"| {stage} | {seconds:.0f} | {memory:.0f} |", flush=True)
        size = Path(Paths(folder).report()).stat().st_size / 1e6
        print(f"\nThe page has {size:.1f} MB.")


def measure(stage: str, root: str) -> tuple[float, float]:
    """Return processor seconds and peak memory in MB of one stage."""
    STAGES[stage](root)
    return time.process_time(), own_peak()


def make_study(root: Path) -> int:
    """Write all results that the report needs, and return the number of students."""
    plan = make_plan(study_type().model_validate(_study()))
    paths = Paths(str(root))
    plan.write(paths.plan())
    rng = random.Random(1)
    for name in plan.study.prompts:
        for split, size in (("train", TRAIN[name]), ("eval", PROMPTS)):
            rows = [{"id": f"{split}{n}", "text": _text(rng, 12)} for n in range(size)]
            write_jsonl(paths.prompts(name, split), rows)
    for teacher, prompts in plan.pools:
        _write_candidates(paths, plan, teacher, prompts, rng)
    for name in plan.datasets:
        _write_training_set(paths, plan, name)
    for number, model in enumerate(plan.models):
        _write_profiles(paths, model, random.Random(number))
    return len(plan.students)


def _study() -> Record:
    bases, teachers = [f"base{n}" for n in range(9)], [f"teacher{n}" for n in range(4)]
    prompts = {"eval": PROMPTS, "max_new_tokens": 64}
    return {
        "study": "many",
        "title": "A study with many students",
        "seed": 1,
        "models": {name: {"sources": [{"path": name}]} for name in (*bases, *teachers)},
        "teachers": teachers,
        "bases": bases,
        "pools": {"-".join(pair): list(pair) for pair in combinations(teachers, 2)},
        "prompts": {
            "instructions": {"sources": [{"path": "i"}], "train": TRAIN["instructions"], **prompts},
            "provoking": {
                "sources": [{"path": "p"}],
                "format": "continuation",
                "train": TRAIN["provoking"],
                **prompts,
            },
        },
        "training_prompts": "instructions",
        "metrics": {"length": {"function": "length"}, "toxicity": {"function": "length"}},
        "objectives": {
            "length": {
                "metric": "length", "direction": "maximise", "measured_by": "text.length"
            },
            "short": {
                "metric": "length", "direction": "minimise", "measured_by": "text.length"
            },
            "mild": {
                "metric": "toxicity",
                "direction": "minimise",
                "measured_by": "toxicity.emt",
                "prompts": "provoking",
            },
        },
        "generate": {"k": 10},
        "profiling": {
            "text": {"prompts": "instructions"},
            "toxicity": {"prompts": "provoking", "metric": "toxicity"},
        },
    }  # fmt: skip


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join(rng.choices(WORDS, k=n_words))


def _write_candidates(
    paths: Paths, plan: Plan, teacher: str, prompts: str, rng: random.Random
) -> None:
    rows = [
        {
            "prompt_id": f"train{prompt}",
            "sample": sample,
            "completion": _text(rng, rng.randint(5, 60)),
            "n_tokens": 64,
            "finish_reason": "stop",
        }
        for prompt in range(TRAIN[prompts])
        for sample in range(plan.study.generate.k)
    ]
    write_jsonl(paths.candidates(teacher, prompts), rows)
    for metric in plan.study.metrics:
        write_jsonl(paths.scores(teacher, prompts, metric), score_candidates(rows, "length", {}))


def _write_training_set(paths: Paths, plan: Plan, name: str) -> None:
    data = plan.datasets[name]
    objective = plan.study.objectives[data.objective] if data.objective else None
    metrics = objective.scored_by if objective else []
    sources = read_sources(
        data.teachers,
        prompts=Path(paths.prompts(data.prompts, "train")),
        candidates=[Path(paths.candidates(teacher, data.prompts)) for teacher in data.teachers],
        scores=[Path(paths.scores(t, data.prompts, m)) for m in metrics for t in data.teachers],
        kept=[],
    )
    criteria = objective.decides() if objective else None
    described = TrainingSet.read({**vars(data), "id": name}, criteria, truncated=True)
    rows, card = build_training_set(described, sources, seed=1)
    write_jsonl(paths.dataset(name, "train.jsonl"), rows)
    write_json(paths.dataset(name, "card.json"), card)


def _write_profiles(paths: Paths, model: str, rng: random.Random) -> None:
    mean = rng.uniform(20, 80)
    text, toxicity = [], []
    for prompt in range(PROMPTS):
        completion, described = rng.choice(_completions())
        text.append(
            {
                "id": f"eval{prompt}",
                "completion": completion,
                "finish_reason": "stop",
                "length": rng.gauss(mean, 20),
                "tokens": rng.gauss(mean, 20),
                "mtld": rng.gauss(mean, 20),
                "truncated": 0.0,
                **described,
            }
        )
        scores = [rng.random() for _ in range(25)]
        toxicity.append(
            {
                "id": f"eval{prompt}",
                "emt": max(scores),
                "toxicity_probability": float(max(scores) >= 0.5),
                "mean_toxicity": sum(scores) / 25,
                "n_toxic": 12,
                "toxic_score_sum": 9.0,
                "n_unscored": 0,
                "continuations": [{"text": completion, "score": score} for score in scores],
            }
        )
    for benchmark, records in (("text", text), ("toxicity", toxicity)):
        write_jsonl(paths.records(model, benchmark), records)
        metrics = summarise(records, BENCHMARKS.get(benchmark).metrics, seed=1)
        Profile(benchmark, model, 1, metrics, {}, {}, {}, {}).write(paths.profile(model, benchmark))


@cache
def _completions() -> list[tuple[str, Record]]:
    rng = random.Random(2)
    texts = [_text(rng, rng.randint(20, 60)) for _ in range(500)]
    return [(text, describe(text)) for text in texts]


if __name__ == "__main__":
    main()
