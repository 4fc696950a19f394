"""The results of a study in words: what moved, by how much, and what the study cannot show.

Every sentence is generated from the tables, so that the words cannot say more than the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import STEERING, of_fewer_candidates, steers
from heirloom.analyse.frames import rows_of
from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.tables.configuration import flatten
from heirloom.report.labels import (
    STYLE,
    full_label,
    label,
    number,
    percent,
    short_unit,
    signed,
    student_label,
)
from heirloom.statistics.comparisons import detectable
from heirloom.study.plan import Plan
from heirloom.support.files import Record

#: Chance of a false finding in a family of tests.
_LEVEL = 0.05
_CLEAREST = 6
_CLEAREST_OF_BENCHMARK = 3


@dataclass(frozen=True)
class Effect:
    """How a student differs from its base or its control on one metric, and how to write it.

    Attributes:
        value: the change in percent, or the difference.
        low: lower end of its 95 % interval, or NaN.
        high: upper end, or NaN.
        unit: "%", or the metric's own for a difference.
    """

    value: float
    low: float
    high: float
    unit: str

    @property
    def verdict(self) -> int:
        """1 above zero, -1 below, 0 where the interval includes zero or there is none."""
        if pd.isna(self.low) or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1

    def __str__(self) -> str:
        if self.unit == "%":
            return interval(self.value, self.low, self.high)
        if pd.isna(self.value):
            return "an undefined amount"
        ends = "" if pd.isna(self.low) else f" [{signed(self.low)}, {signed(self.high)}]"
        return f"{signed(self.value)}{ends} ({self.unit})"


def effect(row: Any, against: str) -> Effect:
    """The effect in a row of the changes table, against "base" or "control".

    In percent where that says something and has an interval, otherwise as a difference: a reference
    that is sometimes resampled to zero leaves only that.
    """

    def ends(kind: str) -> list[float]:
        return [getattr(row, f"{kind}_vs_{against}{end}") for end in ("", "_low", "_high")]

    change, gap = ends("change"), ends("difference")
    if row.relative == "yes" and (pd.notna(change[1]) or pd.isna(gap[1])):
        return Effect(change[0], change[1], change[2], "%")
    return Effect(gap[0], gap[1], gap[2], short_unit(row.unit))


@dataclass(frozen=True)
class Finding:
    """One student's result in words, its id without the seed; `student` names it for a reader.

    `verdict` is "clear", "open", "against" or "".
    """

    id: str
    student: str
    verdict: str
    sentences: list[str]


def headline(plan: Plan, changes: pd.DataFrame) -> str:
    """One sentence about all students that were steered, against their random controls."""
    rows = [row for row in rows_of(steered(plan, changes)) if row.control]
    verdicts = [_verdict(significant(row, "control"), _wanted(plan, row.objective)) for row in rows]
    if not verdicts:
        return "No student of this study was steered by an objective and has a random control."
    clear, against = verdicts.count("clear"), verdicts.count("against")
    undecided = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict == "open"]
    alone = sum(effect(row, "control").verdict != 0 for row in undecided)
    text = (
        f"Against its random control, the steered metric moved the intended way in {clear} of "
        f"{count(len(verdicts), 'steered student')}, with p < 0.05 after Holm's correction for "
        f"{count(_tests(changes), 'test')}"
    )
    rest = []
    if undecided:
        rest.append(f"in {len(undecided)} no change is shown")
        if alone:
            rest[0] += f", though in {alone} of them the 95 % interval by itself excludes zero"
    if against:
        rest.append(f"in {against} it moved the other way")
    return "; ".join([text, *rest]) + "."


def significant(row: Any, against: str) -> int:
    """1 or -1 where a row of the changes table is above or below zero after Holm's correction.

    0 where its corrected p value is 0.05 or more, or it has none: `against` is "base" or "control".
    """
    p = getattr(row, f"p_holm_vs_{against}")
    if pd.isna(p) or p >= _LEVEL:
        return 0
    return 1 if getattr(row, f"difference_vs_{against}") > 0 else -1


def _tests(changes: pd.DataFrame) -> int:
    """How many tests the family of steered metrics has."""
    return int((changes["family_vs_control"] == STEERING).sum())


def active_findings(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Finding]]:
    """Objective to one finding per student that was steered by it."""
    own = steered(plan, tables["changes"])
    sets = tables["training_sets"].set_index("dataset")
    findings: dict[str, list[Finding]] = {name: [] for name in plan.objectives}
    tests = _tests(tables["changes"])
    for row in rows_of(own):
        objective = plan.objectives[row.objective]
        wanted = _wanted(plan, row.objective)
        base, control = effect(row, "base"), effect(row, "control")
        text = f"{full_label(row.benchmark, row.metric)} changed by {base} against the base"
        if row.control:
            text += f" and by {control} against the random control"
        counts = f"n = {row.n}"
        if row.control and row.n_vs_control != row.n:
            counts += f", against the control {row.n_vs_control}"
        if row.n_seeds > 1:
            counts += f"; means over {row.n_seeds} seeds"
        sentences = [f"{text} ({counts})."]
        sentences += _zero("base", base)
        verdict = ""
        if row.control:
            verdict = _verdict(significant(row, "control"), wanted)
            sentences += _zero("random control", control)
            sentences += _corrected(row, control, tests)
            if verdict == "against":
                sentences.append("That is the direction opposite to the objective.")
        sentences += _training_set(sets.loc[row.dataset], objective, verdict)
        findings[row.objective].append(
            Finding(
                row.student,
                f"{student_label(row.student, plan)}, {_source(row.source)}",
                verdict,
                sentences,
            )
        )
    return findings


def passive_findings(plan: Plan, changes: pd.DataFrame) -> list[str]:
    """Sentences about length, diversity, readability and toxicity of students nobody steered.

    Other benchmarks are in `benchmark_findings`.
    """
    main = [pair for pair in main_metrics(plan, changes) if pair[0] in STYLE]
    passive = _rows_with(changes[changes["selection"] == "passive"], main)
    tested = _tested(passive, "base")
    if not tested:
        return ["No passively trained student has an interval."]
    return [
        _odds(tested, tested, "base", "change", "in passively trained students"),
        *_clearest(plan, tested, "base", _CLEAREST),
    ]


def benchmark_findings(plan: Plan, changes: pd.DataFrame) -> dict[str, list[str]]:
    """Benchmark to sentences about what moved there: bias, calibration, general abilities.

    The first say how many comparisons of main metrics are significant, how many of all comparisons,
    categories included, have an interval without zero, and how many would have by chance; then come
    the clearest of the main metrics.
    """
    main = main_metrics(plan, changes)
    found: dict[str, list[str]] = {}
    for benchmark in plan.benchmarks:
        of_benchmark = changes[changes["benchmark"] == benchmark]
        if benchmark in STYLE or of_benchmark.empty:
            continue
        sentences = []
        for against, name in (("base", "the base"), ("control", "the random control")):
            tested = _tested(of_benchmark, against)
            if tested:
                of_main = _tested(_rows_with(of_benchmark, main), against)
                sentences.append(_odds(of_main, tested, against, "comparison", f"with {name}"))
                sentences += _clearest(plan, of_main, against, _CLEAREST_OF_BENCHMARK)
        found[benchmark] = sentences or ["No student has an interval here."]
    return found


def _rows_with(changes: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    return changes[[(row.benchmark, row.metric) in pairs for row in rows_of(changes)]]


def _tested(changes: pd.DataFrame, against: str) -> list[tuple[Any, Effect]]:
    """Rows that have an interval against "base" or "control", with their effect."""
    effects = [(row, effect(row, against)) for row in rows_of(changes)]
    return [(row, found) for row, found in effects if pd.notna(found.low)]


def _odds(
    main: Sequence[tuple[Any, Effect]],
    tested: Sequence[tuple[Any, Effect]],
    against: str,
    noun: str,
    what: str,
) -> str:
    """How many main metrics are significant, and how many intervals exclude zero by themselves.

    Args:
        main: the rows of main metrics among `tested`.
        tested: all rows that have an interval.
        against: "base" or "control".
        noun: what a row is, "change".
        what: of whom, or with what.
    """
    sure = sum(significant(row, against) != 0 for row, _ in main)
    moved = sum(found.verdict != 0 for _, found in tested)
    every = (
        f" Of all {len(tested):,}, categories included, {moved} {_has(moved)}"
        if len(tested) > len(main)
        else f" By itself {moved} has"
        if moved == 1
        else f" By themselves {moved} have"
    )
    return (
        f"{sure} of {count(len(main), noun)} of main metrics {what} {_is(sure)} significant after "
        f"Holm's correction (p < 0.05).{every} a 95 % interval that excludes zero; about "
        f"{0.05 * len(tested):.1f} would by chance alone."
    )


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _has(n: int) -> str:
    return "has" if n == 1 else "have"


def _clearest(
    plan: Plan, tested: Sequence[tuple[Any, Effect]], against: str, most: int
) -> list[str]:
    """The significant effects furthest from zero in widths of their intervals, a sentence each."""
    moved = [(row, found) for row, found in tested if significant(row, against)]
    # An interval without any width is as clear as can be.
    moved.sort(key=lambda pair: -abs(pair[1].value) / max(pair[1].high - pair[1].low, 1e-12))
    suffix = " against the control" if against == "control" else ""
    return [
        f"{student_label(row.student, plan)}: {label(row.metric)} {found}{suffix}."
        for row, found in moved[:most]
    ]


def resolution(changes: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Benchmark to what its subset can resolve.

    Half the width of the 95 % interval of the paired difference with the base, the median over
    students: a true difference of that size is seen about every other time.
    """
    found: dict[str, list[str]] = {}
    for benchmark, metric in pairs:
        rows = changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]
        widths = (rows["difference_vs_base_high"] - rows["difference_vs_base_low"]).dropna()
        if not widths.empty:
            found.setdefault(benchmark, []).append(
                f"{label(metric)} \u00b1 {number(widths.median() / 2)} "
                f"{short_unit(rows['unit'].iloc[0])} "
                f"(n = {int(rows['n'].median()):,})"
            )
    return {benchmark: "; ".join(parts) for benchmark, parts in found.items()}


def steered(plan: Plan, changes: pd.DataFrame) -> pd.DataFrame:
    """The rows in which a student's own objective is measured, in the plan's order.

    Without the students of fewer candidates: they show what k does, and have a figure for it.
    """
    own = [
        steers(plan, row.student, row.benchmark, row.metric)
        and not of_fewer_candidates(plan, row.student)
        for row in rows_of(changes)
    ]
    return changes[own]


def _wanted(plan: Plan, objective: str) -> int:
    return 1 if plan.objectives[objective]["direction"] == "maximise" else -1


def _verdict(moved: int, wanted: int) -> str:
    return {0: "open", wanted: "clear", -wanted: "against"}[moved]


def _zero(against: str, found: Effect) -> list[str]:
    if pd.isna(found.low):
        return [f"There is no interval against the {against}."]
    if not found.verdict:
        return [
            f"The interval against the {against} includes zero: this study does not show a change "
            "there."
        ]
    return []


def _corrected(row: Any, found: Effect, tests: int) -> list[str]:
    """The p value against the control after correction, and whether it takes the effect away."""
    p = row.p_holm_vs_control
    if pd.isna(p):
        return []
    text = f"Corrected for {count(tests, 'test')} of steered metrics (Holm), {p_value(p)}"
    if found.verdict and p >= _LEVEL:
        text += ": among so many the interval that excludes zero may be chance"
    return [f"{text}."]


def _training_set(row: pd.Series, objective: Record, verdict: str) -> list[str]:
    """What selection did to the training set, and what that means beside the student's verdict."""
    if pd.isna(row["difference"]):
        return []
    metric = objective["metric"]
    mean = row[f"mean_{metric}"]
    ends = (
        ""
        if pd.isna(row["difference_low"])
        else f" [{signed(row['difference_low'])}, {signed(row['difference_high'])}]"
    )
    text = (
        f"In its training set the mean {metric} score is {number(mean)}, "
        f"a difference of {signed(row['difference'])}{ends} to the control's "
        f"({count(int(row['difference_n']), 'prompt')})."
    )
    wanted = 1 if objective["direction"] == "maximise" else -1
    selected = Effect(row["difference"], row["difference_low"], row["difference_high"], metric)
    data = _verdict(selected.verdict, wanted)
    if data != "clear":
        return [text, "The selection did not measurably change the training set."]
    if verdict == "open":
        return [text, "The training set changed as intended; that the student did is not shown."]
    if verdict == "against":
        return [text, "The training set changed as intended; the student did not follow."]
    return [text]


def _source(source: str) -> str:
    return {"single": "single-source", "multi": "multi-source"}.get(source, "unselected")


def limits(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Heading and explanation of every limit a reader must know."""
    found = []
    if any(value == "profanity" for _, value in flatten(plan.config)):
        found.append(
            (
                "Coarse toxicity scorer.",
                "Toxicity is scored by a linear profanity classifier over single words. It reacts "
                "to mentions of identity as if they were insults (it scores \u201cHe is gay\u201d "
                "0.98) and misses insults in polite words. Read every toxicity number as "
                "\u201cwords this classifier dislikes\u201d.",
            )
        )
    trained = plan.students
    seeds = {plan.models[name]["seed"] for name in trained}
    if len(seeds) == 1:
        found.append(
            (
                "One training seed.",
                "Each training set was used once. Intervals cover the choice of evaluation "
                "examples, not the chance of another seed, other candidates or other prompts.",
            )
        )
    elif seeds:
        found.append(("Few training seeds.", _few_seeds(len(seeds))))
    if trained:
        found.append(("What n can resolve.", _resolution(plan, tables["changes"])))
        found.append(("Many intervals.", _many(tables["changes"])))
    if {"calibration", "seat"} & set(plan.benchmarks):
        found.append(
            (
                "Numbers that noise only raises.",
                "A calibration error and a mean of absolute effect sizes cannot fall below zero, "
                "so noise adds to them, the more the fewer examples there are. Resampling adds "
                "noise once more: their intervals lie high, the value itself near the lower end. "
                "Between models on the same examples most of that cancels out.",
            )
        )
    found.append(("Models.", _models(plan)))
    if trained:
        found.append(
            (
                "Assumptions about the paper that are ours.",
                "The number of candidates per prompt, the LoRA settings, the prompts and their "
                "number were not available to us from the paper; the values under Settings are our "
                "choice. The single-source control is the passive set, one draw of the same "
                "teacher.",
            )
        )
    return found


def _few_seeds(n: int) -> str:
    return (
        f"Each training set was used with {n} seeds. Values are means over them, and intervals are "
        f"widened by the variance between them, which {n} seeds show only roughly "
        f"({count(n - 1, 'degree')} of freedom): where seeds matter more than examples, intervals "
        "of 95 % hold the truth somewhat less often. Other candidates and other prompts are not "
        "covered at all."
    )


def _many(changes: pd.DataFrame) -> str:
    n, of_control = (
        int(changes[f"difference_vs_{against}_low"].notna().sum())
        for against in ("base", "control")
    )
    families = {
        (against, family)
        for against in ("base", "control")
        for family in changes[f"family_vs_{against}"]
        if family
    }
    return (
        f"The report holds {n:,} intervals against bases and {of_control:,} against controls, each "
        f"at 95 % by itself: if nothing had changed, about {0.05 * (n + of_control):.0f} would "
        "exclude zero. Metrics and categories that share examples, and students that share a base, "
        "are wrong together, so such false alarms come in clusters. Findings go by p values that "
        f"Holm's method corrects within families ({len(families)} here): the "
        f"{count(_tests(changes), 'test')} of steered metrics against their controls, and the main "
        "metrics of each benchmark against bases and against controls. Each family has a chance of "
        "5 % of one false finding or more. Categories and other metrics are not corrected: take "
        "them as hints."
    )


def _models(plan: Plan) -> str:
    if plan.students:
        return (
            f"Everything here holds for {listed(bases(plan))} and the teachers "
            f"{listed(teachers(plan))}. Nothing here says that larger models behave alike."
        )
    return f"Everything here holds for {listed(list(plan['models']))} alone."


def _resolution(plan: Plan, changes: pd.DataFrame) -> str:
    """What a study of this size finds in the steered metrics, against the control.

    From the intervals of differences, where that says something in percent of the control: the
    interval of a change in percent grows with the change.
    """
    parts = []
    for _, rows in steered(plan, changes).groupby("objective", sort=False):
        tested = [row for row in rows_of(rows) if pd.notna(row.difference_vs_control_low)]
        relative = all(row.relative == "yes" and row.control_value > 0 for row in tested)
        sizes = []
        for row in tested:
            ends = row.difference_vs_control_low, row.difference_vs_control_high
            scale = 100 / row.control_value if relative else 1.0
            least = detectable(*ends, int(row.n_vs_control))
            sizes.append((scale * least, scale * (ends[1] - ends[0]) / 2))
        if tested:
            middle = [median(column) for column in zip(*sizes, strict=True)]
            shown = [f"{size:.1f}" if relative else number(size) for size in middle]
            parts.append(
                f"{full_label(tested[0].benchmark, tested[0].metric)} {shown[0]} "
                f"{'%' if relative else short_unit(tested[0].unit)} (95 % interval \u00b1 "
                f"{shown[1]}, n = {int(median(row.n_vs_control for row in tested))})"
            )
    if not parts:
        return "No steered student has an interval against a random control."
    return (
        "The smallest true change against the random control that a study of this size finds four "
        "times in five (80 % power at the two-sided 5 % level, before correction; median over "
        "students; % of the control's value): "
        + "; ".join(parts)
        + ". Smaller changes may well be there and go unseen. "
        "What the examples of each benchmark resolve stands beside its table, against the base."
    )


def pool_sizes(candidates: pd.DataFrame) -> tuple[dict[str, int], str]:
    """Prompt set to its prompts with candidates, and how many a prompt and teacher: "2 or 5"."""
    per_set = candidates.groupby("prompts", sort=False)["n_prompts"].max()
    k = sorted(set(candidates["k"].astype(int)))
    return {str(name): int(n) for name, n in per_set.items()}, " or ".join(map(str, k))


def selections(plan: Plan) -> dict[str, int]:
    """Kind of selection to the number of training sets made by it; those that there are."""
    kinds = [data.selection for data in plan.datasets.values()]
    return {kind: kinds.count(kind) for kind in ("passive", "random", "best") if kind in kinds}


def bases(plan: Plan) -> list[str]:
    """The base models of all students, in the plan's order."""
    return list(dict.fromkeys(plan.models[name].base for name in plan.students))


def teachers(plan: Plan) -> list[str]:
    """The teachers of all training sets, in the plan's order."""
    return list(dict.fromkeys(name for data in plan.datasets.values() for name in data.teachers))


def points(value: float) -> str:
    """A number of percent without its sign of percent, for intervals and table cells."""
    return percent(value).removesuffix(" %")


def interval(value: float, low: float, high: float) -> str:
    """A change in percent with its interval, for a sentence."""
    if pd.isna(value):
        return "an undefined percentage"
    if pd.isna(low):
        return percent(value)
    return f"{percent(value)} [{points(low)}, {points(high)}]"


def p_value(p: float) -> str:
    """A p value for a sentence: "p = 0.012", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def count(n: int, noun: str) -> str:
    """A number with its noun: "1 prompt", "2 prompts"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Names for a sentence: "a, b and c"."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
