"""The tables of a study: plan and result files in, one pandas.DataFrame a table out.

`load_study` is the only place that knows where results lie; every table is a pure function of what
it returns. Nulls are None or NaN in a frame and an empty cell in a CSV file. Changes and shares are
in percent, everything else, differences included, is in the unit of its metric.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from heirloom import profiling
from heirloom.contents import table_names
from heirloom.errors import HeirloomError
from heirloom.files import Record, atomic_write, read_json, read_jsonl
from heirloom.statistics import Comparison, compare, difference

ScoreKey = tuple[str, int]
Pool = tuple[str, str]

#: Benchmark to the metrics that the report shows first, the most telling in front; `*` stands for
#: any suffix. Of a benchmark that is not here those without a suffix come first: no category.
MAIN: Mapping[str, Sequence[str]] = {
    "text": ("length", "mtld", "gunning_fog", "rix"),
    "toxicity": ("emt", "toxicity_probability"),
    "stereoset": ("icat", "ss", "lms"),
    "crows_pairs": ("score",),
    "seat": ("mean_abs_effect_size.*", "effect_size.*"),
    "bbq": ("bias_ambiguous", "bias_disambiguated", "accuracy"),
    "calibration": ("ece.*", "accuracy.*"),
    "general": ("acc", "acc.*"),
}
#: Most metrics of a benchmark that count as main ones.
_MOST_MAIN = 8

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
    "relative",
    "control",
    "model",
    "role",
    "pool",
    "prompts",
    "teacher",
    "data_set",
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
    "relative",
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
    "difference_vs_base",
    "difference_vs_base_low",
    "difference_vs_base_high",
    "difference_vs_control",
    "difference_vs_control_low",
    "difference_vs_control_high",
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
BINS = [
    "model",
    "role",
    "data_set",
    "bin",
    "n",
    "confidence",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
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

    Values, changes and differences are over the examples both models have a value for, so a change
    can be recomputed from its row. Those are not the same examples for base and control, where a
    metric is missing for some: `n`, `n_missing` and `student_value` belong to the comparison with
    the base, those ending in `_vs_control` to the other. Metrics that are not to be compared have
    no row; where `relative` is "no", percent says nothing and the changes are null.

    Raises:
        HeirloomError: a profile reports a metric that its records do not carry, or that its
            benchmark does not define.
    """
    plan = study.plan
    rows: dict[tuple[str, str, str], list[Any]] = {}
    for benchmark in plan["benchmarks"]:
        # All models of one metric, then the next: base and controls serve several students.
        for metric in _unique(
            name for s in students(plan) for name in study.profiles[s][benchmark]["metrics"]
        ):
            examples = _examples_of(study, benchmark, metric)
            if examples is None:
                continue
            for student in students(plan):
                entry = study.profiles[student][benchmark]["metrics"].get(metric)
                if entry is not None:
                    rows[student, benchmark, metric] = _change(
                        plan, student, benchmark, metric, entry["unit"], examples
                    )
    return _frame(
        [
            rows[key]
            for student in students(plan)
            for benchmark in plan["benchmarks"]
            for metric in study.profiles[student][benchmark]["metrics"]
            if (key := (student, benchmark, metric)) in rows
        ],
        CHANGES,
    )


def _change(
    plan: Record,
    student: str,
    benchmark: str,
    metric: str,
    unit: str,
    examples: Callable[[str], Mapping[str, Record]],
) -> list[Any]:
    """One row of `changes`; `examples` maps a model to its examples by id."""
    model = plan["models"][student]
    data = plan["datasets"][model["dataset"]]
    definition = _definition(benchmark, metric)
    fields, statistic = definition.uses(metric)
    nothing = Comparison(None, None, None, 0, 0)

    def versus(reference: str | None) -> tuple[Comparison, Comparison]:
        if not reference:
            return nothing, nothing
        gap, percent = compare(
            examples(student), examples(reference), statistic, fields, seed=plan["seed"]
        )
        return gap, percent if definition.relative else nothing

    base, base_percent = versus(model["base"])
    control, control_percent = versus(model["control"])
    return [
        student,
        model["dataset"],
        data["selection"],
        source(data),
        data["objective"] or "",
        benchmark,
        metric,
        unit,
        "yes" if definition.relative else "no",
        base.n,
        base.n_missing,
        base.reference,
        base.treated,
        model["control"] or "",
        control.n,
        control.n_missing,
        control.reference,
        control.treated,
        *(
            end
            for result in (base_percent, control_percent, base, control)
            for end in (result.value, result.low, result.high)
        ),
    ]


def _definition(benchmark: str, metric: str) -> profiling.Metric:
    try:
        return profiling.get(benchmark).metrics[metric]
    except KeyError:
        raise HeirloomError(
            f"the profiles report {benchmark}.{metric}, which the benchmark {benchmark} does not "
            "define any more. Delete the profiles of that benchmark and run again."
        ) from None


def _examples_of(
    study: Study, benchmark: str, metric: str
) -> Callable[[str], Mapping[str, Record]] | None:
    """Model to its examples of a metric by id; None if the metric is not to be compared."""
    definition = _definition(benchmark, metric)
    if not definition.compared:
        return None
    fields, _ = definition.uses(metric)

    @cache
    def examples(model: str) -> Mapping[str, Record]:
        records = [r for r in study.records[model][benchmark] if definition.selects(r)]
        for field in fields:
            if records and not any(field in record for record in records):
                raise HeirloomError(
                    f"profiles/{model}/{benchmark}.records.jsonl has no field {field!r}, which "
                    f"{benchmark}.{metric} is computed from. Delete the profiles of that benchmark "
                    "and run again."
                )
        return {record["id"]: record for record in records}

    return examples


def profiles(study: Study) -> pd.DataFrame:
    """One row per model and metric, as the profiles report it: value, interval, n, n_missing.

    A metric that is not compared, or of too few examples, has no interval; an undefined one no
    value either.
    """
    rows: list[list[Any]] = []
    for model, description in study.plan["models"].items():
        for benchmark in study.plan["benchmarks"]:
            for metric, entry in study.profiles[model][benchmark]["metrics"].items():
                low, high = entry.get("interval") or (None, None)
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


def calibration_bins(study: Study) -> pd.DataFrame:
    """One row per model, data set and bin of confidence: how often answers so confident are right.

    Bins hold equally many answers. `accuracy_low` and `accuracy_high` are the 95 % Wilson interval
    of a share (Wilson 1927, eq. 5), which stays within 0 and 1 and needs no resampling.
    """
    from heirloom.profiling.calibration import reliability

    rows: list[list[Any]] = []
    for model, description in study.plan["models"].items():
        records = study.records[model]["calibration"]
        for data_set in _unique(record["data_set"] for record in records):
            own = [record for record in records if record["data_set"] == data_set]
            for index, found in enumerate(reliability(own), start=1):
                ends = _wilson(found["accuracy"], found["n"])
                rows.append(
                    [
                        *(model, description["role"], data_set, index, found["n"]),
                        *(found["confidence"], found["accuracy"], *ends),
                    ]
                )
    return _frame(rows, BINS)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n."""
    z = 1.959964
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


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
    "calibration_bins": calibration_bins,
    "settings": settings,
}


def main_of(benchmark: str, metrics: Iterable[str]) -> list[str]:
    """Those of a benchmark's metrics that the report shows first, in its order."""
    names = _unique(metrics)
    patterns = MAIN.get(benchmark) or [name for name in names if "." not in name] or ["*"]
    chosen = [n for pattern in patterns for n in names if fnmatchcase(n, pattern)]
    return _unique(chosen)[:_MOST_MAIN]


def main_metrics(plan: Record, table: pd.DataFrame) -> list[tuple[str, str]]:
    """The (benchmark, metric) pairs to show first: main ones and what the objectives measure.

    Args:
        plan: the study's plan.
        table: `changes` or `profiles`; only what it holds is named.
    """
    held = _unique(zip(table["benchmark"], table["metric"], strict=True))
    measured = [tuple(o["measured_by"].split(".", 1)) for o in plan["objectives"].values()]
    main = [
        (benchmark, metric)
        for benchmark in plan["benchmarks"]
        for metric in main_of(benchmark, [m for b, m in held if b == benchmark])
    ]
    return main + [pair for pair in _unique(measured) if pair in held and pair not in main]


def write_all(results: str | Path, out: str | Path) -> None:
    """Write every table of the study in `results` as `out`/<table>.csv."""
    study = load_study(results)
    for name in table_names(study.plan):
        with atomic_write(Path(out) / f"{name}.csv") as handle:
            handle.write(to_csv(TABLES[name](study)))


def to_csv(table: pd.DataFrame) -> str:
    """CSV text of one table: ten significant digits, nulls empty, the same on every machine."""
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def read_all(folder: str | Path, plan: Record) -> dict[str, pd.DataFrame]:
    """The tables that `write_all` wrote for the study with this plan, by name.

    Raises:
        HeirloomError: one of them is not there.
    """
    tables = {}
    for name in table_names(plan):
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
