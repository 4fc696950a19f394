"""What a study cost: tokens, time and memory, from Snakemake's benchmark files.

Times differ from run to run, so this table is written by a rule of its own: every other table is a
function of the results alone.
"""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from heirloom.analyse.tables.frames import frame
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, read_jsonl

COSTS = [
    "stage",
    "model",
    "jobs",
    "seconds",
    "cpu_seconds",
    "peak_memory",
    "tokens",
    "tokens_per_second",
]
#: In the order of the pipeline; others follow by name.
_STAGES = ("generate", "finetune", "profile")

_Job = dict[str, float | None]
_Key = tuple[str, str]  # stage, model


def costs(results: str | Path, *, shards: int) -> pd.DataFrame:
    """One row per stage and model: jobs, seconds, memory, tokens.

    A stage is a folder of `costs/`; the model is the first part of the path below it: of generation
    the teacher, of finetuning the student. `jobs` counts those that left a file, as they last ran:
    a job whose result came out of a cache left none, and of one that was stopped and went on the
    file has the second part alone. Files of models that the plan does not have any more, and of
    another number of shards, are left out.

    `seconds` and `cpu_seconds` are sums over jobs, which may have run side by side; `peak_memory`
    is the resident memory of the largest job in MB. `tokens` counts those of all candidates, and
    those of the training examples, prompts included, times the epochs; it is null for other stages.
    `tokens_per_second` is null where a job left no file.

    Args:
        results: the study's folder, with its plan.json.
        shards: how many jobs generated a teacher's candidates for a prompt set.

    Raises:
        HeirloomError: a file is missing or malformed.
    """
    root = Path(results)
    plan = read_json(root / "plan.json")
    jobs, tokens = _jobs(root, plan, shards), _tokens(root, plan)
    expected = _expected(plan, shards)
    models = list(plan.models)

    def order(key: _Key) -> tuple[int, str, int]:
        stage, model = key
        known = _STAGES.index(stage) if stage in _STAGES else len(_STAGES)
        return known, stage, models.index(model)

    rows = []
    for key in sorted(jobs.keys() | tokens.keys(), key=order):
        own, made = jobs.get(key, []), tokens.get(key)
        seconds = _sum(own, "s")
        rate = made / seconds if made and seconds and len(own) == expected.get(key) else None
        peaks = [job["max_rss"] for job in own if job["max_rss"] is not None]
        rows.append(
            [
                *(*key, len(own), seconds, _sum(own, "cpu_time")),
                *(max(peaks, default=None), made, rate),
            ]
        )
    return frame(rows, COSTS)


def _expected(plan: Plan, shards: int) -> dict[_Key, int]:
    """The jobs that make a stage's tokens."""
    per_teacher = Counter(teacher for teacher, _ in plan.pools)
    generated = {("generate", t): n * shards for t, n in per_teacher.items()}
    return generated | {("finetune", student): 1 for student in plan.students}


def _jobs(root: Path, plan: Plan, shards: int) -> dict[_Key, list[_Job]]:
    """Stage and model to what Snakemake measured of each job."""
    found = defaultdict(list)
    for path in sorted((root / "costs").glob("*/**/*.tsv")):
        stage, *parts = path.relative_to(root / "costs").parts
        model = parts[0].removesuffix(".tsv")
        stale = stage == "generate" and not path.stem.endswith(f"-of-{shards}")
        if model in plan.models and not stale:
            found[stage, model].append(_measured(path))
    return found


def _measured(path: Path) -> _Job:
    """Seconds and memory in a benchmark file; "NA" where a job was too short to be measured."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    try:
        return {
            column: None if rows[-1][column] in ("NA", "-", "") else float(rows[-1][column])
            for column in ("s", "cpu_time", "max_rss")
        }
    except (IndexError, KeyError, TypeError, ValueError):
        raise HeirloomError(
            f"{path} is not a benchmark file of Snakemake with seconds and memory. Delete it: its "
            "job will not be counted."
        ) from None


def _tokens(root: Path, plan: Plan) -> dict[_Key, int]:
    """Stage and model to tokens generated or trained on."""
    tokens: Counter[_Key] = Counter()
    for teacher, prompts in plan.pools:
        path = root / "generations" / teacher / prompts / "candidates.jsonl"
        counts = [row["n_tokens"] for row in read_jsonl(path)]
        if None not in counts:  # as where an endpoint does not count them
            tokens["generate", teacher] += sum(counts)
    for student in plan.students:
        manifest = read_json(root / "students" / student / "manifest.json")
        epochs = manifest["recipe"]["epochs"]
        tokens["finetune", student] += round(manifest["n_tokens"] * epochs)
    return dict(tokens)


def _sum(jobs: list[_Job], column: str) -> float | None:
    values = [job[column] for job in jobs if job[column] is not None]
    return sum(value for value in values if value is not None) if values else None
