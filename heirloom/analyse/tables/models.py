"""What was measured of every model, and how every student differs from base and control."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pandas as pd

from heirloom import profiling
from heirloom.analyse.results import Results
from heirloom.analyse.tables.frames import frame, unique
from heirloom.statistics.comparisons import Comparison, compare, holm, simultaneous
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

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
    "judge": ("consistency", "human_agreement", "position_bias", "prefers_longer"),
    "general": ("acc", "acc.*"),
}
#: Most metrics of a benchmark that count as main ones.
_MOST_MAIN = 8
#: The family of tests that a study is made for: every steered metric against its control.
STEERING = "steering"
ABLATION = "ablation"
CHANGES = [
    "student",
    "dataset",
    "selection",
    "source",
    "objective",
    "n_seeds",
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
    "seed_sd",
    *(
        f"{name}_vs_{reference}"
        for reference in ("base", "control")
        for name in ("family", "p", "p_holm")
    ),
    *(
        f"{kind}_vs_{reference}_{end}_adjusted"
        for kind in ("change", "difference")
        for reference in ("base", "control")
        for end in ("low", "high")
    ),
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


@dataclass(frozen=True)
class _Versus:
    """A student against one reference, and the family of tests that this belongs to.

    Attributes:
        gap: the difference.
        percent: the change in percent; of nothing where the metric has no true zero.
        family: its name, "" if none.
        tests: how many tests the family has.
        p_holm: the p value corrected for them.
    """

    gap: Comparison
    percent: Comparison
    family: str = ""
    tests: int = 0
    p_holm: float | None = None


_Key = tuple[str, str, str]  # student, benchmark, metric
_NOTHING = Comparison(None, None, None, 0, 0)


def changes(study: Results) -> pd.DataFrame:
    """One row per student and metric: how the student differs from its base and from its control.

    A student is a base and a training set, `base.dataset`: its `n_seeds` models are pooled. Each is
    compared with the control of its own seed, and with the base.

    Values, changes and differences are over the examples that all models compared have a value for,
    so a change can be recomputed from its row. Those are not the same examples for base and
    control, where a metric is missing for some: `n`, `n_missing` and `student_value` belong to the
    comparison with the base, those ending in `_vs_control` to the other. Metrics that are not to be
    compared have no row; where `relative` is "no", percent says nothing and the changes are null.

    `seed_sd` is the standard deviation over seeds of the difference to the control, or to the base
    where there is no control. `p` is the p value of the difference, `p_holm` the same after Holm's
    correction within its family: all students' main metrics of one benchmark, against one
    reference, or "steering", every steered student's own objective against its control ("ablation"
    for students of fewer candidates). Other metrics have no family. `_adjusted` ends hold for all
    intervals of a family together.

    Raises:
        HeirloomError: a profile reports a metric that its records do not carry, or that its
            benchmark does not define.
    """
    plan = study.plan
    by_seed = plan.students_by_seed
    units: dict[_Key, str] = {}
    found: dict[str, dict[_Key, _Versus]] = {"base": {}, "control": {}}
    for benchmark in plan.benchmarks:
        # All models of one metric, then the next: base and controls serve several students.
        for metric in unique(
            name for s in plan.students for name in study.profiles[s][benchmark]["metrics"]
        ):
            examples = _examples_of(study, benchmark, metric)
            if examples is None:
                continue
            for student, models in by_seed.items():
                entry = study.profiles[models[0]][benchmark]["metrics"].get(metric)
                if entry is not None:
                    key = (student, benchmark, metric)
                    units[key] = entry["unit"]
                    for reference, versus in found.items():
                        references = unique(plan.models[model][reference] for model in models)
                        versus[key] = _versus(plan, models, references, key, examples)
    found = {reference: _corrected(plan, reference, versus) for reference, versus in found.items()}
    return frame(
        [
            _row(plan, models[0], key, units[key], *(found[r][key] for r in ("base", "control")))
            for student, models in by_seed.items()
            for benchmark in plan.benchmarks
            for metric in study.profiles[models[0]][benchmark]["metrics"]
            if (key := (student, benchmark, metric)) in units
        ],
        CHANGES,
    )


def _versus(
    plan: Plan,
    models: Sequence[str],
    references: Sequence[str | None],
    key: _Key,
    examples: Callable[[str], Mapping[str, Record]],
) -> _Versus:
    """The models of a student against those of a reference, all of one metric.

    Args:
        plan: the study's plan.
        models: the student's, one a seed.
        references: one, or one for each; none where it is None.
        key: student, benchmark and metric.
        examples: maps a model to its examples by id.
    """
    if None in references:
        return _Versus(_NOTHING, _NOTHING)
    definition = _definition(*key[1:])
    fields, statistic = definition.uses(key[2])
    gap, percent = compare(
        [examples(model) for model in models],
        [examples(model) for model in references if model],
        statistic,
        fields,
        seed=plan.seed,
    )
    return _Versus(gap, percent if definition.relative else _NOTHING)


def _corrected(plan: Plan, reference: str, versus: Mapping[_Key, _Versus]) -> dict[_Key, _Versus]:
    """The comparisons with "base" or "control", each with its family and corrected p value."""
    held = pd.DataFrame(list(versus), columns=["student", "benchmark", "metric"])
    main = set(main_metrics(plan, held))
    families: dict[str, list[_Key]] = {}
    for key, found in versus.items():
        if found.gap.p is not None:
            if reference == "control" and steers(plan, *key):
                family = ABLATION if of_fewer_candidates(plan, key[0]) else STEERING
                families.setdefault(family, []).append(key)
            elif key[1:] in main:
                families.setdefault(key[1], []).append(key)
    corrected = dict(versus)
    for family, keys in families.items():
        p_values = holm([p for key in keys if (p := versus[key].gap.p) is not None])
        for key, p_holm in zip(keys, p_values, strict=True):
            gap, percent = versus[key].gap, versus[key].percent
            corrected[key] = _Versus(gap, percent, family, len(keys), p_holm)
    return corrected


def of_fewer_candidates(plan: Plan, student: str) -> bool:
    """Whether a student, without its seed, belongs to the ablation."""
    model = plan.models[plan.students_by_seed[student][0]]
    return plan.datasets[model.dataset]["k"] is not None


def steers(plan: Plan, student: str, benchmark: str, metric: str) -> bool:
    """Whether a student, without its seed, was steered towards what this metric measures."""
    model = plan.models[plan.students_by_seed[student][0]]
    objective = plan.datasets[model.dataset].objective
    measured = plan.objectives[objective].measured_by if objective else ""
    return bool(measured == f"{benchmark}.{metric}")


def _row(
    plan: Plan, model: str, key: _Key, unit: str, base: _Versus, control: _Versus
) -> list[Any]:
    """One row of `changes`; `model` is the student's first seed."""
    student, benchmark, metric = key
    described = plan.models[model]
    data = plan.datasets[described.dataset]
    rival = described.control
    results = (base.percent, control.percent, base.gap, control.gap)
    tests = (base.tests, control.tests) * 2
    return [
        student,
        described.dataset,
        data.selection,
        data.source,
        data.objective or "",
        base.gap.n_seeds,
        benchmark,
        metric,
        unit,
        "yes" if _definition(benchmark, metric).relative else "no",
        base.gap.n,
        base.gap.n_missing,
        base.gap.reference,
        base.gap.treated,
        plan.without_seed(rival) if rival else "",
        control.gap.n,
        control.gap.n_missing,
        control.gap.reference,
        control.gap.treated,
        *(end for result in results for end in (result.value, result.low, result.high)),
        (control if rival else base).gap.seed_sd,
        *(cell for v in (base, control) for cell in (v.family, v.gap.p, v.p_holm)),
        *(
            end
            for result, count in zip(results, tests, strict=True)
            for end in (simultaneous(result, count) if count else (None, None))
        ),
    ]


def _definition(benchmark: str, metric: str) -> profiling.Metric:
    try:
        return profiling.BENCHMARKS.get(benchmark).metrics[metric]
    except KeyError:
        raise HeirloomError(
            f"the profiles report {benchmark}.{metric}, which the benchmark {benchmark} does not "
            "define any more. Delete the profiles of that benchmark and run again."
        ) from None


def _examples_of(
    study: Results, benchmark: str, metric: str
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


def profiles(study: Results) -> pd.DataFrame:
    """One row per model and metric, as the profiles report it: value, interval, n, n_missing.

    A metric that is not compared, or of too few examples, has no interval; an undefined one no
    value either.
    """
    rows: list[list[Any]] = []
    for model, description in study.plan.models.items():
        for benchmark in study.plan.benchmarks:
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
    return frame(rows, PROFILES)


def main_of(benchmark: str, metrics: Iterable[str]) -> list[str]:
    """Those of a benchmark's metrics that the report shows first, in its order."""
    names = unique(metrics)
    patterns = MAIN.get(benchmark) or [name for name in names if "." not in name] or ["*"]
    chosen = [n for pattern in patterns for n in names if fnmatchcase(n, pattern)]
    return unique(chosen)[:_MOST_MAIN]


def main_metrics(plan: Plan, table: pd.DataFrame) -> list[tuple[str, str]]:
    """The (benchmark, metric) pairs to show first: main ones and what the objectives measure.

    Args:
        plan: the study's plan.
        table: `changes` or `profiles`; only what it holds is named.
    """
    held = unique(zip(table["benchmark"], table["metric"], strict=True))
    measured = [tuple(o.measured_by.split(".", 1)) for o in plan.objectives.values()]
    main = [
        (benchmark, metric)
        for benchmark in plan.benchmarks
        for metric in main_of(benchmark, [m for b, m in held if b == benchmark])
    ]
    return main + [pair for pair in unique(measured) if pair in held and pair not in main]
