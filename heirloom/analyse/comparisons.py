"""Every student against its base and against its control, and the families of tests they form."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from heirloom.analyse.completeness import is_complete
from heirloom.analyse.effects import REFERENCES, Reference
from heirloom.analyse.frames import unique
from heirloom.analyse.main_metrics import main_among
from heirloom.analyse.results import Results
from heirloom.profiling import Metric
from heirloom.statistics.comparisons import Comparison, compare, holm
from heirloom.statistics.permutation import permutation_p
from heirloom.statistics.resampling import mean_of
from heirloom.study.plan import Dataset, Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

#: Family of the tests that are the purpose of a study: every steered metric against its control.
STEERING = "steering"
#: The same of students of fewer candidates.
ABLATION = "ablation"

_NOTHING = Comparison(None, None, None, 0, 0)
_References = Mapping[Reference, Sequence[str | None]]
"""The models that a student is compared with: one, or one per seed; None where there is none."""


@dataclass(frozen=True)
class Versus:
    """A student against one reference on one metric, and the family of tests it belongs to.

    Attributes:
        gap: The difference.
        percent: The change in percent; undefined if the metric is not on a ratio scale.
        family: Name of the family, "" if none.
        tests: Number of tests in the family.
        p_holm: The p value corrected for them.
    """

    gap: Comparison = _NOTHING
    percent: Comparison = _NOTHING
    family: str = ""
    tests: int = 0
    p_holm: float | None = None


@dataclass(frozen=True)
class Compared:
    """A student on one metric.

    Attributes:
        student: Id of the student without its seed.
        unit: Unit of the metric.
        relative: True if changes in percent are meaningful.
        against: The student against its base and against its control.
    """

    student: str
    benchmark: str
    metric: str
    unit: str
    relative: bool
    against: Mapping[Reference, Versus]

    @property
    def pair(self) -> tuple[str, str]:
        """Benchmark and metric."""
        return self.benchmark, self.metric


def compare_models(
    results: Results,
    metrics: Collection[tuple[str, str]] | None = None,
    *,
    complete: bool = False,
) -> list[Compared]:
    """Compare every student with its base and its control.

    The models of a student, one per seed, are pooled. Each is compared with the control of its own
    seed, and with the base.

    Args:
        results: The study's results.
        metrics: The (benchmark, metric) pairs to compare; None: all that the profiles have.
        complete: Compare only examples of which no answer of any model compared is truncated; the
            others count as missing.

    Returns:
        One item per student and metric, one student after the other, metrics in the order of its
        profiles. Metrics that are not to be compared are left out.

    Raises:
        HeirloomError: A profile reports a metric that its records do not carry, or that its
            benchmark does not define.
    """
    models = results.plan.models
    references: dict[str, _References] = {
        student: {
            "base": unique(models[model].base for model in seeds),
            "control": unique(models[model].control for model in seeds),
        }
        for student, seeds in results.plan.students_by_seed.items()
    }
    return _compare(results, references, metrics, complete=complete)


def compare_redraws(results: Results) -> list[Compared]:
    """Compare the students of two random draws of one kind: the second against the first.

    Returns:
        Like `compare_models`, one item per student of a second draw and metric. It is compared with
        the student of the first draw alone, where others are with their control.

    Raises:
        HeirloomError: As `compare_models`.
    """
    by_seed = results.plan.students_by_seed
    references: dict[str, _References] = {
        second: {"control": by_seed[first]} for first, second in results.plan.redraws.items()
    }
    return _compare(results, references, None)


def _compare(
    results: Results,
    references: Mapping[str, _References],
    metrics: Collection[tuple[str, str]] | None,
    *,
    complete: bool = False,
) -> list[Compared]:
    """Compare students, without their seeds, each with its references."""
    plan, profiles = results.plan, results.profiles
    by_seed = plan.students_by_seed
    found: dict[tuple[str, str, str], Compared] = {}
    for benchmark in plan.benchmarks:
        # All models of one metric, then the next: base and controls serve several students.
        for metric in unique(
            name
            for student in references
            for model in by_seed[student]
            for name in profiles[model][benchmark].metrics
        ):
            if metrics is None or (benchmark, metric) in metrics:
                for compared in _compare_on(results, benchmark, metric, references, complete):
                    found[compared.student, benchmark, metric] = compared
    return [
        found[key]
        for student in references
        for benchmark in plan.benchmarks
        for metric in profiles[by_seed[student][0]][benchmark].metrics
        if (key := (student, benchmark, metric)) in found
    ]


def _compare_on(
    results: Results,
    benchmark: str,
    metric: str,
    references: Mapping[str, _References],
    complete: bool,
) -> Iterable[Compared]:
    """Compare every student that has this metric."""
    definition = definition_of(results.plan, benchmark, metric)
    if not definition.compared:
        return
    plan = results.plan
    fields, statistic = definition.uses(metric)
    examples = examples_of(results, benchmark, metric, definition)
    if complete:
        examples = _complete(examples, benchmark, fields)

    def versus(models: Sequence[str], references: Sequence[str | None]) -> Versus:
        named = [model for model in references if model]
        if len(named) < len(references):
            return Versus()
        gap, percent = compare(
            [examples(model) for model in models],
            [examples(model) for model in named],
            statistic,
            fields,
            seed=plan.seed,
        )
        return Versus(gap, percent if definition.relative else _NOTHING)

    for student, own in references.items():
        models = plan.students_by_seed[student]
        entry = results.profiles[models[0]][benchmark].metrics.get(metric)
        if entry is not None:
            yield Compared(
                student=student,
                benchmark=benchmark,
                metric=metric,
                unit=entry["unit"],
                relative=definition.relative,
                against={reference: versus(models, named) for reference, named in own.items()},
            )


def definition_of(plan: Plan, benchmark: str, metric: str) -> Metric:
    """Return the definition of a metric that the profiles report.

    Raises:
        HeirloomError: Its benchmark does not define it any more.
    """
    try:
        return plan.measures[benchmark][metric]
    except KeyError:
        raise HeirloomError(
            f"the profiles report {benchmark}.{metric}, which the benchmark {benchmark} does not "
            "define any more. Delete the profiles of that benchmark and run again."
        ) from None


def examples_of(
    results: Results, benchmark: str, metric: str, definition: Metric
) -> Callable[[str], Mapping[str, Record]]:
    """Return a function from a model to its examples of a metric, by id.

    Raises:
        HeirloomError: Called with a model whose records lack a field that the metric needs.
    """
    fields, _ = definition.uses(metric)

    @cache
    def examples(model: str) -> Mapping[str, Record]:
        records = [r for r in results.records[model][benchmark] if definition.selects(r)]
        for field in fields:
            if records and not any(field in record for record in records):
                raise HeirloomError(
                    f"{results.paths.records(model, benchmark)} has no field {field!r}, which "
                    f"{benchmark}.{metric} is computed from. Delete the profiles of that benchmark "
                    "and run again."
                )
        return {record["id"]: record for record in records}

    return examples


def _complete(
    examples: Callable[[str], Mapping[str, Record]], benchmark: str, fields: Sequence[str]
) -> Callable[[str], Mapping[str, Record]]:
    """Model to its examples by id, of which those with a truncated answer have no values."""
    empty = dict.fromkeys(fields)

    @cache
    def complete(model: str) -> Mapping[str, Record]:
        return {
            key: record if is_complete(benchmark, record) else {**record, **empty}
            for key, record in examples(model).items()
        }

    return complete


def correct(plan: Plan, comparisons: Sequence[Compared]) -> list[Compared]:
    """Sort comparisons into families of tests and correct their p values by Holm's method.

    A family is all students' main metrics of one benchmark against one reference, or `STEERING`,
    every steered student's own objective against its control (`ABLATION` for students of fewer
    candidates). Other comparisons, and those of students of second random draws, have no family.
    """
    main = set(main_among(plan, (compared.pair for compared in comparisons)))
    corrected = list(comparisons)
    for reference in REFERENCES:
        families: dict[str, list[tuple[int, float]]] = {}
        for index, compared in enumerate(comparisons):
            p = compared.against[reference].gap.p
            family = _family(plan, compared, reference, main)
            if p is not None and family:
                families.setdefault(family, []).append((index, p))
        for family, members in families.items():
            p_values = holm([p for _, p in members])
            for (index, _), p_holm in zip(members, p_values, strict=True):
                against = corrected[index].against
                versus = replace(
                    against[reference], family=family, tests=len(members), p_holm=p_holm
                )
                corrected[index] = replace(corrected[index], against={**against, reference: versus})
    return corrected


def permuted(results: Results, compared: Compared) -> float | None:
    """Return the permutation p value of a steered student against its control.

    None for comparisons that are in neither `STEERING` nor `ABLATION`, and for metrics that are no
    mean of a field.

    Args:
        results: The study's results.
        compared: A comparison that `correct` has sorted.
    """
    if compared.against["control"].family not in (STEERING, ABLATION):
        return None
    plan = results.plan
    definition = definition_of(plan, *compared.pair)
    (field, *others), statistic = definition.uses(compared.metric)
    if others or statistic is not mean_of(field):
        return None
    examples = examples_of(results, *compared.pair, definition)
    models = plan.students_by_seed[compared.student]
    controls = unique(plan.models[model].control for model in models)
    return permutation_p(
        [examples(model) for model in models],
        [examples(control) for control in controls if control],
        field,
        seed=plan.seed,
    )


def _family(
    plan: Plan, compared: Compared, reference: Reference, main: Collection[tuple[str, str]]
) -> str:
    """Family of a comparison, "" if it has none.

    A study that draws twice, to know its noise, tests nothing more than it would without: second
    draws have none.
    """
    if is_second_draw(plan, compared.student):
        return ""
    if reference == "control" and steers(plan, compared.student, *compared.pair):
        return ABLATION if of_fewer_candidates(plan, compared.student) else STEERING
    return compared.benchmark if compared.pair in main else ""


def trained_on(plan: Plan, student: str) -> Dataset:
    """The training set of a student without its seed."""
    return plan.datasets[plan.models[plan.students_by_seed[student][0]].trained_on]


def of_fewer_candidates(plan: Plan, student: str) -> bool:
    """Return True if a student, without its seed, belongs to the ablation."""
    return trained_on(plan, student).k is not None


def is_second_draw(plan: Plan, student: str) -> bool:
    """Return True if a student, without its seed, is of a second random draw."""
    return trained_on(plan, student).first_draw is not None


def steers(plan: Plan, student: str, benchmark: str, metric: str) -> bool:
    """Return True if a student, without its seed, was steered towards this metric."""
    objective = trained_on(plan, student).objective
    if objective is None:
        return False
    return plan.objectives[objective].measured_by == f"{benchmark}.{metric}"
