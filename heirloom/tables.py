"""The tables of a study: plan and result files in, one pandas.DataFrame a table out.

`load_study` is the only place that knows where results lie; every table is a pure function of what
it returns. Nulls are None or NaN in a frame and an empty cell in a CSV file. Changes and shares are
in percent, everything else is in the unit of its metric.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heirloom.errors import HeirloomError
from heirloom.files import Record, atomic_write, read_json, read_jsonl
from heirloom.statistics import Comparison, difference, relative_change

ScoreKey = tuple[str, int]
Pool = tuple[str, str]

#: What the report shows first, as benchmark and metric; every other metric is in the full tables.
MAIN_METRICS = (
    ("text", "length"),
    ("text", "mtld"),
    ("text", "gunning_fog"),
    ("text", "rix"),
    ("toxicity", "emt"),
    ("toxicity", "toxicity_probability"),
)

#: Columns that hold text: an empty cell is "", not a missing number. `settings` is all text.
TEXT_COLUMNS = [
    "student",
    "dataset",
    "selection",
    "source",
    "objective",
    "benchmark",
    "metric",
    "unit",
    "direction",
    "control",
    "model",
    "role",
    "pool",
    "prompts",
    "teacher",
]

CHANGES = [
    "student",
    "dataset",
    "selection",
    "source",
    "objective",
    "benchmark",
    "metric",
    "unit",
    "n",
    "n_missing",
    "base_value",
    "student_value",
    "control",
    "n_vs_control",
    "n_missing_vs_control",
    "control_value",
    "student_value_vs_control",
    "change_vs_base",
    "change_vs_base_low",
    "change_vs_base_high",
    "change_vs_control",
    "change_vs_control_low",
    "change_vs_control_high",
]
PROFILES = [
    "model",
    "role",
    "benchmark",
    "metric",
    "unit",
    "direction",
    "value",
    "low",
    "high",
    "n",
    "n_missing",
]
SETTINGS = ["key", "value"]


@dataclass(frozen=True)
class Study:
    """Everything below a results folder that the tables and the report need.

    Attributes:
        plan: plan.json.
        profiles: model to benchmark to profile.
        records: model to benchmark to the records of that profile, one an example.
        cards: data set to card.
        training: data set to training examples.
        candidates: (teacher, prompts) to candidates.
        scores: (teacher, prompts) to metric to (prompt id, sample) to score or None. Only metrics
            that an objective of the plan names, and only where they were scored.
        prompts: (prompts, split) to prompt id to text.
    """

    plan: Record
    profiles: Mapping[str, Mapping[str, Record]]
    records: Mapping[str, Mapping[str, list[Record]]]
    cards: Mapping[str, Record]
    training: Mapping[str, list[Record]]
    candidates: Mapping[Pool, list[Record]]
    scores: Mapping[Pool, Mapping[str, Mapping[ScoreKey, float | None]]]
    prompts: Mapping[tuple[str, str], Mapping[str, str]]


def load_study(results: str | Path) -> Study:
    """Read what the plan in `results` names.

    Args:
        results: the folder of one study, with its plan.json.

    Raises:
        HeirloomError: a file the plan implies is missing or malformed.
    """
    root = Path(results)
    plan = read_json(root / "plan.json")
    pools = sorted(
        {
            (teacher, data["prompts"])
            for data in plan["datasets"].values()
            for teacher in data["teachers"]
        }
    )
    return Study(
        plan=plan,
        profiles={
            model: {
                name: read_json(root / "profiles" / model / f"{name}.json")
                for name in plan["benchmarks"]
            }
            for model in plan["models"]
        },
        records={
            model: {
                name: read_jsonl(root / "profiles" / model / f"{name}.records.jsonl")
                for name in plan["benchmarks"]
            }
            for model in plan["models"]
        },
        cards={
            name: read_json(root / "datasets" / name / "card.json") for name in plan["datasets"]
        },
        training={
            name: read_jsonl(root / "datasets" / name / "train.jsonl") for name in plan["datasets"]
        },
        candidates={
            (teacher, prompts): read_jsonl(
                root / "generations" / teacher / prompts / "candidates.jsonl"
            )
            for teacher, prompts in pools
        },
        scores={pool: _load_scores(root, plan, pool) for pool in pools},
        prompts={
            (path.parent.name, path.stem): {row["id"]: row["text"] for row in read_jsonl(path)}
            for path in sorted((root / "prompts").glob("*/*.jsonl"))
        },
    )


def _load_scores(root: Path, plan: Record, pool: Pool) -> dict[str, dict[ScoreKey, float | None]]:
    teacher, prompts = pool
    needed = {o["metric"] for o in plan["objectives"].values() if o["prompts"] == prompts}
    scores = {}
    for metric in sorted({objective["metric"] for objective in plan["objectives"].values()}):
        path = root / "scores" / teacher / prompts / f"{metric}.jsonl"
        if metric in needed or path.exists():
            scores[metric] = {
                (row["prompt_id"], row["sample"]): row["score"] for row in read_jsonl(path)
            }
    return scores


def source(dataset: Record) -> str:
    """One of "single" and "multi", by the number of teachers; "" where a set is passive."""
    if dataset["selection"] == "passive":
        return ""
    return "single" if len(dataset["teachers"]) == 1 else "multi"


def students(plan: Record) -> list[str]:
    """The ids of the students, in the plan's order."""
    return [name for name, model in plan["models"].items() if model["role"] == "student"]


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples, whose fields have the type of their column."""
    return iter(table.itertuples())


def changes(study: Study) -> pd.DataFrame:
    """One row per student and metric: how the student differs from its base and from its control.

    Values and changes are means over the examples both models have a value for, so a change can be
    recomputed from its row. Those are not the same examples for base and control, where a metric
    is missing for some: `n`, `n_missing` and `student_value` belong to the comparison with the
    base, those ending in `_vs_control` to the other.

    Raises:
        HeirloomError: a profile reports a metric that its records do not carry.
    """
    plan = study.plan
    rows: list[list[Any]] = []
    for student in students(plan):
        model = plan["models"][student]
        data = plan["datasets"][model["dataset"]]
        for benchmark in plan["benchmarks"]:
            for metric, entry in study.profiles[student][benchmark]["metrics"].items():
                treated = _field(study, student, benchmark, metric)
                versus_base = relative_change(
                    treated, _field(study, model["base"], benchmark, metric), seed=plan["seed"]
                )
                control = model["control"]
                versus_control = (
                    relative_change(
                        treated, _field(study, control, benchmark, metric), seed=plan["seed"]
                    )
                    if control
                    else Comparison(None, None, None, 0, 0)
                )
                rows.append(
                    [
                        student,
                        model["dataset"],
                        data["selection"],
                        source(data),
                        data["objective"] or "",
                        benchmark,
                        metric,
                        entry["unit"],
                        versus_base.n,
                        versus_base.n_missing,
                        versus_base.reference,
                        versus_base.treated,
                        control or "",
                        versus_control.n,
                        versus_control.n_missing,
                        versus_control.reference,
                        versus_control.treated,
                        versus_base.value,
                        versus_base.low,
                        versus_base.high,
                        versus_control.value,
                        versus_control.low,
                        versus_control.high,
                    ]
                )
    return _frame(rows, CHANGES)


def _field(study: Study, model: str, benchmark: str, metric: str) -> dict[str, float | None]:
    """Example id to the value of one metric."""
    records = study.records[model][benchmark]
    if records and not any(metric in record for record in records):
        raise HeirloomError(
            f"profiles/{model}/{benchmark}.records.jsonl has no field {metric!r}, which "
            f"{benchmark}.json reports. Delete both files and profile the model again."
        )
    return {record["id"]: record.get(metric) for record in records}


def profiles(study: Study) -> pd.DataFrame:
    """One row per model and metric, as the profiles report it: value, interval, n, n_missing."""
    rows: list[list[Any]] = []
    for model, description in study.plan["models"].items():
        for benchmark in study.plan["benchmarks"]:
            for metric, entry in study.profiles[model][benchmark]["metrics"].items():
                low, high = entry["interval"] or (None, None)
                rows.append(
                    [
                        model,
                        description["role"],
                        benchmark,
                        metric,
                        entry["unit"],
                        entry["direction"] or "",
                        entry["value"],
                        low,
                        high,
                        entry["n"],
                        entry["n_missing"],
                    ]
                )
    return _frame(rows, PROFILES)


def training_sets(study: Study) -> pd.DataFrame:
    """One row per data set: its size, where its examples come from, and what selection did to it.

    `share_<teacher>` is the share of its examples in percent; `mean_<metric>` the mean score of its
    completions (null where none was scored). A best set is compared with the training set of its
    control by its own metric: `difference` is in that metric's unit, with a paired 95 % interval
    over the `difference_n` prompts both have.
    """
    plan = study.plan
    teachers = _unique(
        teacher for data in plan["datasets"].values() for teacher in data["teachers"]
    )
    metrics = _unique(objective["metric"] for objective in plan["objectives"].values())
    rows = []
    for name, data in plan["datasets"].items():
        card = study.cards[name]
        row = {
            "dataset": name,
            "selection": data["selection"],
            "pool": data["pool"],
            "prompts": data["prompts"],
            "objective": data["objective"] or "",
            "n": card["n"],
            "n_missing": card["n_missing"],
            "n_tied": card["n_tied"],
            "n_truncated": card["n_truncated"],
        }
        for teacher in teachers:
            count = card["teacher_counts"].get(teacher, 0)
            row[f"share_{teacher}"] = 100 * count / card["n"] if card["n"] else None
        for metric in metrics:
            row[f"mean_{metric}"] = _mean(_chosen_scores(study, name, metric).values())
        compared = _against_control(study, name)
        row |= {
            "control": data["control"] or "",
            "difference": compared.value,
            "difference_low": compared.low,
            "difference_high": compared.high,
            "difference_n": compared.n,
        }
        rows.append(row)
    return _frame([list(row.values()) for row in rows], list(rows[0]) if rows else ["dataset"])


def _against_control(study: Study, dataset: str) -> Comparison:
    data = study.plan["datasets"][dataset]
    if data["selection"] != "best" or not data["control"]:
        return Comparison(None, None, None, 0, 0)
    metric = study.plan["objectives"][data["objective"]]["metric"]
    return difference(
        _chosen_scores(study, dataset, metric),
        _chosen_scores(study, data["control"], metric),
        seed=study.plan["seed"],
    )


def _chosen_scores(study: Study, dataset: str, metric: str) -> dict[str, float | None]:
    """Prompt id to the score of the completion that the data set chose; {} if never scored."""
    prompts = study.plan["datasets"][dataset]["prompts"]
    chosen: dict[str, float | None] = {}
    for row in study.training[dataset]:
        scores = study.scores[row["teacher"], prompts].get(metric)
        if scores is None:
            continue
        key = (row["prompt_id"], row["sample"])
        if key not in scores:
            raise HeirloomError(
                f"scores/{row['teacher']}/{prompts}/{metric}.jsonl has no score for prompt "
                f"{key[0]!r}, sample {key[1]}, which datasets/{dataset}/train.jsonl chose. The two "
                "come from different candidates: delete the scores and run again."
            )
        chosen[row["prompt_id"]] = scores[key]
    return chosen


def candidates(study: Study) -> pd.DataFrame:
    """One row per teacher and prompt set: how many candidates, how they ended, what they score.

    `truncated` is the share of candidates cut by the token cap, in percent; `tokens` the mean
    number of tokens; `mean_<metric>` is over the candidates that have a score and
    `unscored_<metric>` counts the others.
    """
    metrics = _unique(objective["metric"] for objective in study.plan["objectives"].values())
    rows: list[list[Any]] = []
    for (teacher, prompts), pool in study.candidates.items():
        n = len(pool)
        per_prompt = Counter(row["prompt_id"] for row in pool)
        cut = sum(row["finish_reason"] == "length" for row in pool)
        row = [
            teacher,
            prompts,
            len(per_prompt),
            max(per_prompt.values(), default=0),
            n,
            sum(not row["completion"].strip() for row in pool),
            100 * cut / n if n else None,
            _mean(row["n_tokens"] for row in pool),
        ]
        for metric in metrics:
            scores = study.scores[teacher, prompts].get(metric)
            values = [] if scores is None else list(scores.values())
            row += [_mean(values), None if scores is None else values.count(None)]
        rows.append(row)
    columns = ["teacher", "prompts", "n_prompts", "k", "n", "empty", "truncated", "tokens"]
    columns += [f"{prefix}_{metric}" for metric in metrics for prefix in ("mean", "unscored")]
    return _frame(rows, columns)


def settings(study: Study) -> pd.DataFrame:
    """plan["config"] flattened: dotted key, value as text (JSON, but strings without quotes)."""
    return pd.DataFrame(flatten(study.plan["config"]), columns=SETTINGS, dtype=str)


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted key and text of every leaf; a list of plain values is one leaf, in JSON."""
    if isinstance(value, dict) and value:
        pairs = [(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        pairs = [(f"{prefix}[{index}]", item) for index, item in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return [(prefix, text)]
    return [leaf for key, item in pairs for leaf in flatten(item, key)]


TABLES: Mapping[str, Callable[[Study], pd.DataFrame]] = {
    "changes": changes,
    "training_sets": training_sets,
    "candidates": candidates,
    "profiles": profiles,
    "settings": settings,
}


def main_metrics(plan: Record) -> list[tuple[str, str]]:
    """The (benchmark, metric) pairs to show first: MAIN_METRICS and what the objectives measure."""
    measured = [tuple(o["measured_by"].split(".", 1)) for o in plan["objectives"].values()]
    wanted = [pair for pair in MAIN_METRICS if pair[0] in plan["benchmarks"]]
    # In the fixed order where they are in it, so that length always comes before toxicity.
    return wanted + [pair for pair in _unique(measured) if pair not in wanted]


def write_all(results: str | Path, out: str | Path) -> None:
    """Write every table of the study in `results` as `out`/<table>.csv."""
    study = load_study(results)
    for name, build in TABLES.items():
        with atomic_write(Path(out) / f"{name}.csv") as handle:
            handle.write(to_csv(build(study)))


def to_csv(table: pd.DataFrame) -> str:
    """CSV text of one table: ten significant digits, nulls empty, the same on every machine."""
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def read_all(folder: str | Path) -> dict[str, pd.DataFrame]:
    """The tables that `write_all` wrote, by name.

    Raises:
        HeirloomError: one of them is not there.
    """
    tables = {}
    for name in TABLES:
        path = Path(folder) / f"{name}.csv"
        if not path.exists():
            raise HeirloomError(f"{path} does not exist. Write the tables first.")
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
        tables[name] = cells if name == "settings" else _typed(cells)
    return tables


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _frame(rows: list[list[Any]], columns: list[str]) -> pd.DataFrame:
    return _typed(pd.DataFrame(rows, columns=columns))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with numbers in every column outside TEXT_COLUMNS, NaN where it is empty."""
    for column in table.columns:
        if column not in TEXT_COLUMNS:
            table[column] = pd.to_numeric(table[column].replace("", None))
    return table
