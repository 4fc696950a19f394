"""Costs of a study: tokens, time and memory, from Snakemake's benchmark files.

Times differ from run to run, so this table is written by a job of its own: every other table is a
function of the results alone.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables import table, write
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json

#: In the order of the pipeline; others follow by name.
_STAGES = ("generate", "finetune", "profile")


@dataclass(frozen=True)
class Cost:
    """A row of the table: the jobs of one stage for one model."""

    stage: str
    model: str
    jobs: int
    seconds: float | None
    cpu_seconds: float | None
    peak_memory: float | None
    tokens: int | None
    tokens_per_second: float | None
    unanswered: int | None
    money: float | None


@dataclass(frozen=True)
class _Job:
    """Seconds, and memory in MB, of one job; None where it was too short to be measured."""

    seconds: float | None
    cpu_seconds: float | None
    memory: float | None


_Key = tuple[str, str]  # stage, model


@table(
    "costs",
    title="Costs",
    order=130,
    text=text_of(Cost),
    headings={"cpu_seconds": "CPU seconds", "peak_memory": "Peak memory, MB"},
    apart=True,
)
def costs(results: Results, *, shards: int) -> pd.DataFrame:
    """One row per stage and model: jobs, seconds, memory, tokens.

    A stage is a folder of `costs/`; the model is the first part of the path below it: of generation
    the teacher, of finetuning the student. `jobs` counts those that left a file, as they last ran:
    a job whose result came out of a cache left none, and that of a job that was stopped and resumed
    has the second run alone. Files of models that the plan does not have any more, and of another
    number of shards, are left out.

    `seconds` and `cpu_seconds` are sums over jobs, which may have run at the same time;
    `peak_memory` is the resident memory of the largest job in MB. `tokens` counts those of all
    candidates, and those of the training examples, prompts included, times the epochs; it is null
    for other stages. `tokens_per_second` is null where a job left no file. `unanswered` counts the
    candidates without an answer, and `money` is the price of all candidates and their prompts where
    the teacher's endpoint has a price, whenever they were paid for.

    Args:
        results: The study's results.
        shards: Number of jobs that generated a teacher's candidates for a prompt set.

    Raises:
        HeirloomError: A file is missing or malformed.
    """
    plan = results.plan
    jobs, tokens = _jobs(results.paths, plan, shards), _tokens(results)
    expected = _expected(plan, shards)
    models = list(plan.models)
    bills = _bills(results)

    def order(key: _Key) -> tuple[int, str, int]:
        stage, model = key
        known = _STAGES.index(stage) if stage in _STAGES else len(_STAGES)
        return known, stage, models.index(model)

    rows = []
    for key in sorted(jobs.keys() | tokens.keys(), key=order):
        own, made = jobs.get(key, []), tokens.get(key)
        seconds = _sum(job.seconds for job in own)
        complete = len(own) == expected.get(key)
        rows.append(
            Cost(
                stage=key[0],
                model=key[1],
                jobs=len(own),
                seconds=seconds,
                cpu_seconds=_sum(job.cpu_seconds for job in own),
                peak_memory=max((j.memory for j in own if j.memory is not None), default=None),
                tokens=made,
                tokens_per_second=made / seconds if made and seconds and complete else None,
                **bills.get(key, {"unanswered": None, "money": None}),
            )
        )
    return frame(rows, Cost)


def write_costs(root: str | Path, *, shards: int) -> None:
    """Write the costs of the study whose folder is `root`; see `costs`."""
    results = load_results(root)
    write(costs(results, shards=shards), results.paths.table("costs"))


def _expected(plan: Plan, shards: int) -> dict[_Key, int]:
    """Number of jobs that make a stage's tokens."""
    per_teacher = Counter(teacher for teacher, _ in plan.pools)
    generated = {("generate", t): n * shards for t, n in per_teacher.items()}
    return generated | {("finetune", student): 1 for student in plan.students}


def _jobs(paths: Paths, plan: Plan, shards: int) -> dict[_Key, list[_Job]]:
    """Stage and model to the jobs that Snakemake measured."""
    root = Path(paths.root)
    found = defaultdict(list)
    for path in sorted(root.glob(Paths(".").costs("*", "**", "*"))):
        _, stage, *parts = path.relative_to(root).parts
        model = parts[0].removesuffix(".tsv")
        stale = stage == "generate" and not path.stem.endswith(f"-of-{shards}")
        if model in plan.models and not stale:
            found[stage, model].append(_measured(path))
    return found


def _measured(path: Path) -> _Job:
    """Read a benchmark file; a cell is "NA" where a job was too short to be measured."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    try:
        cells = [rows[-1][column] for column in ("s", "cpu_time", "max_rss")]
        return _Job(*(None if cell in ("NA", "-", "") else float(cell) for cell in cells))
    except (IndexError, KeyError, TypeError, ValueError):
        raise HeirloomError(
            f"{path} is not a benchmark file of Snakemake with seconds and memory. Delete it: its "
            "job will not be counted."
        ) from None


def _tokens(results: Results) -> dict[_Key, int]:
    """Stage and model to tokens generated or trained on."""
    tokens: Counter[_Key] = Counter()
    for (teacher, _), candidates in results.candidates.items():
        # Of those without an answer a server may count no tokens.
        counts = [
            row["n_tokens"] or 0 if row["completion"] is None else row["n_tokens"]
            for row in candidates
        ]
        if None not in counts:  # as where an endpoint does not count them
            tokens["generate", teacher] += sum(counts)
    for student in results.plan.students:
        manifest = read_json(results.paths.student(student, "manifest.json"))
        epochs = manifest["recipe"]["epochs"]
        tokens["finetune", student] += round(manifest["n_tokens"] * epochs)
    return dict(tokens)


def _bills(results: Results) -> dict[_Key, Any]:
    """Stage and model to the candidates without an answer, and the price of all."""
    bills: dict[_Key, Any] = {}
    for (teacher, _), candidates in results.candidates.items():
        bill = bills.setdefault(("generate", teacher), {"unanswered": 0, "money": None})
        bill["unanswered"] += sum(row["completion"] is None for row in candidates)
        endpoint = results.plan.study.models[teacher].endpoint
        if endpoint is not None and endpoint.price is not None:
            read = sum(row.get("prompt_tokens") or 0 for row in candidates)
            written = sum(row["n_tokens"] or 0 for row in candidates)
            bill["money"] = (bill["money"] or 0.0) + endpoint.price.of(read, written)
    return bills


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
