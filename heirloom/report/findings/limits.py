"""Limits of a study that a reader must know."""

from collections.abc import Mapping
from statistics import median

import pandas as pd

from heirloom import objectives
from heirloom.analyse.frames import rows_of
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.labels import full_label
from heirloom.profiling.profile import Profile
from heirloom.report.composition import bases, teachers
from heirloom.report.findings.controls import weak_controls
from heirloom.report.findings.same_scorer import same_scorer_limit
from heirloom.report.findings.significance import steered_rows, steering_tests
from heirloom.report.findings.truncation import truncation_limit
from heirloom.report.wording import count, listed, number, short_unit
from heirloom.statistics.comparisons import detectable
from heirloom.study.plan import Plan

Limit = tuple[str, str]
"""A heading and what is to be known."""

MODELS = "Models."
_SEEDS = ("One training seed.", "Few training seeds.")

_ONE_SEED = (
    "Each training set was used once. Intervals cover the choice of evaluation examples, not the "
    "chance of another seed, other candidates or other prompts."
)
_ASSUMPTIONS = (
    "Our assumptions about the paper.",
    "The paper samples 10 candidates for each of Alpaca's 52,000 prompts; those of this study are "
    "under Settings. The paper's finetuning settings, its pool of several teachers, and its "
    "judges' question and pairs are not known to us: ours are our choice. The control of a "
    "single-source set is the passive set: for each prompt, the same teacher's first completion "
    "that may be selected.",
)


def limits(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[Limit]:
    """Return every limit of a study.

    Args:
        plan: The study's plan.
        tables: Tables by name: `changes`, `profiles`, `training_sets`, and `candidates` if there
            are any.
    """
    seeds = _seeds(plan)
    found = scorer_caveats(plan)
    if seeds:
        found += truncation_limit(plan, tables["changes"])
        found += weak_controls(plan, tables)
        found.append(seeds)
        found.append(("Power of the study.", _power(plan, tables["changes"])))
        found.append(("Many intervals.", _many(tables["changes"])))
    found += same_scorer_limit(plan)
    known = [BENCHMARKS.get(name) for name in plan.benchmarks if name in BENCHMARKS]
    found += [caveat for benchmark in known for caveat in benchmark.caveats]
    found += _unanswered(tables.get("candidates"))
    found.append((MODELS, _models(plan)))
    if seeds:
        found.append(_ASSUMPTIONS)
    return list(dict.fromkeys(found))


def computed_otherwise(profiles: Mapping[str, Mapping[str, Profile]]) -> list[Limit]:
    """Return the models that were computed in another way than the others, and why.

    Args:
        profiles: Profile by model and benchmark.
    """
    models: dict[str, list[str]] = {}  # by what is noted of them
    for model, measured in profiles.items():
        for note in dict.fromkeys(n for profile in measured.values() for n in profile.notes):
            models.setdefault(note, []).append(model)
    texts = [f"{listed(names)}: {note}." for note, names in models.items()]
    return [("Models computed in another way.", " ".join(texts))] if texts else []


def foremost(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the limits that an abstract has to name.

    Those of truncated answers, controls, scorers, seeds and models.
    """
    seeds = _seeds(plan)
    found = scorer_caveats(plan)
    if seeds:
        found = [
            *truncation_limit(plan, tables["changes"]),
            *weak_controls(plan, tables),
            *found,
            seeds,
        ]
    return [*(text for _, text in found), _models(plan)]


def scorer_caveats(plan: Plan) -> list[Limit]:
    """Return what the scorers of the study have stated where they are registered."""
    functions = dict.fromkeys(metric.function for metric in plan.study.metrics.values())
    caveats = [objectives.load(function).caveat for function in functions]
    return [caveat for caveat in caveats if caveat]


def _unanswered(candidates: pd.DataFrame | None) -> list[Limit]:
    """Return the number of candidates without an answer, where a teacher has some."""
    if candidates is None or not candidates["unanswered"].sum():
        return []
    parts = [
        f"{row.teacher} {int(row.unanswered):,} of {int(row.n):,} ({row.prompts})"
        for row in rows_of(candidates)
        if row.unanswered
    ]
    text = (
        f"Some candidates hold no answer: {listed(parts)}. They are unscored, are never selected, "
        "and may be of a particular kind, such as those that a filter refuses."
    )
    return [("Candidates without an answer.", text)]


def _seeds(plan: Plan) -> Limit | None:
    """Return the limit that the number of training seeds sets; None without students."""
    n = len({model.seed for model in plan.students.values()})
    if n == 0:
        return None
    return (_SEEDS[0], _ONE_SEED) if n == 1 else (_SEEDS[1], _few_seeds(n))


def _few_seeds(n: int) -> str:
    return (
        f"Each training set was used with {n} seeds. Values are means over them, and intervals are "
        f"widened by the variance between them, which {n} seeds estimate only roughly "
        f"({count(n - 1, 'degree')} of freedom): where seeds matter more than examples, 95 % "
        "intervals cover the true value somewhat less often. Other candidates and other prompts "
        "are not covered at all."
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
        f"at 95 % without correction: if nothing had changed, about {0.05 * (n + of_control):.0f} "
        "would exclude zero. Metrics and categories that share examples, and students that share a "
        "base, are correlated, so false positives occur in clusters. Findings use p values that "
        f"Holm's method corrects within families ({len(families)} here): the "
        f"{count(steering_tests(changes), 'test')} of steered metrics against their controls, and "
        "the main metrics of each benchmark against bases and against controls. The chance of one "
        "or more false findings is 5 % per family. Categories and other metrics are not corrected: "
        "they are exploratory."
    )


def _models(plan: Plan) -> str:
    if plan.students:
        return (
            f"Everything here holds for {listed(bases(plan))} and the teachers "
            f"{listed(teachers(plan))}. Nothing here shows that larger models behave alike."
        )
    return f"Everything here holds for {listed(list(plan.models))} alone."


def _power(plan: Plan, changes: pd.DataFrame) -> str:
    """Return what a study of this size detects in the steered metrics, against the control.

    From the intervals of differences, in percent of the control on a ratio scale: the interval of a
    change in percent grows with the change.
    """
    parts = []
    for _, rows in steered_rows(plan, changes).groupby("objective", sort=False):
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
        "With this number of examples, a true change against the random control is detected with "
        "a probability of 80 % if it is at least this large (two-sided test at the 5 % level, "
        "before correction; median over students; in % of the control's value): "
        + "; ".join(parts)
        + ". Smaller changes may exist and remain undetected. The section of each benchmark states "
        "which changes against the base its examples resolve."
    )
