"""The results of a study in words: what moved, by how much, and what the study cannot show.

Every sentence is generated from the tables, so that the words cannot say more than the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from heirloom.figures import label, percent, student_label
from heirloom.files import Record
from heirloom.tables import flatten, main_metrics, rows_of, students

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Finding:
    """One student's result in words; `verdict` is "clear", "open", "against" or ""."""

    student: str
    verdict: str
    sentences: list[str]


def headline(plan: Record, changes: pd.DataFrame) -> str:
    """One sentence about all students that were steered, against their random controls."""
    verdicts = [
        _verdict(
            row.change_vs_control_low, row.change_vs_control_high, _wanted(plan, row.objective)
        )
        for row in rows_of(_steered(plan, changes))
        if row.control
    ]
    if not verdicts:
        return "No student of this study was steered by an objective and has a random control."
    clear, against = verdicts.count("clear"), verdicts.count("against")
    undecided = len(verdicts) - clear - against
    text = (
        f"Against its random control, the steered metric moved the intended way in {clear} of "
        f"{count(len(verdicts), 'steered student')}, with a 95 % interval that excludes zero"
    )
    rest = [f"in {undecided} the interval includes zero or is undefined"] if undecided else []
    rest += [f"in {against} it moved the other way"] if against else []
    return "; ".join([text, *rest]) + "."


def active_findings(plan: Record, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Finding]]:
    """Objective to one finding per student that was steered by it."""
    steered = _steered(plan, tables["changes"])
    sets = tables["training_sets"].set_index("dataset")
    findings: dict[str, list[Finding]] = {name: [] for name in plan["objectives"]}
    for row in rows_of(steered):
        objective = plan["objectives"][row.objective]
        wanted = _wanted(plan, row.objective)
        name = label(row.metric)
        base = [row.change_vs_base, row.change_vs_base_low, row.change_vs_base_high]
        control = [row.change_vs_control, row.change_vs_control_low, row.change_vs_control_high]
        text = f"{name} changed by {interval(*base)} against the base"
        if row.control:
            text += f" and by {interval(*control)} against the random control"
        counts = f"n = {row.n}"
        if row.control and row.n_vs_control != row.n:
            counts += f", against the control {row.n_vs_control}"
        sentences = [f"{text} ({counts})."]
        sentences += _zero("base", *base[1:])
        verdict = ""
        if row.control:
            verdict = _verdict(control[1], control[2], wanted)
            sentences += _zero("random control", *control[1:])
            if verdict == "against":
                sentences.append("That is the direction opposite to the objective.")
        sentences += _training_set(sets.loc[row.dataset], objective, verdict)
        findings[row.objective].append(
            Finding(
                f"{student_label(row.student, plan)}, {_source(row.source)}",
                verdict,
                sentences,
            )
        )
    return findings


def passive_findings(plan: Record, changes: pd.DataFrame) -> list[str]:
    """Sentences about the main metrics of students that nobody steered, against their base."""
    main = main_metrics(plan)
    passive = changes[
        [
            row.selection == "passive"
            and (row.benchmark, row.metric) in main
            and pd.notna(row.change_vs_base_low)
            for row in rows_of(changes)
        ]
    ]
    if passive.empty:
        return ["No passively trained student has an interval."]
    moved = passive[(passive["change_vs_base_low"] > 0) | (passive["change_vs_base_high"] < 0)]
    sentences = [
        f"{len(moved)} of {count(len(passive), 'change')} of main metrics in passively trained "
        f"students have an interval that excludes zero; about {0.05 * len(passive):.1f} would by "
        "chance alone."
    ]
    largest = moved.sort_values("change_vs_base", key=abs, ascending=False, kind="stable")
    for row in rows_of(largest.head(6)):
        change = interval(row.change_vs_base, row.change_vs_base_low, row.change_vs_base_high)
        sentences.append(f"{student_label(row.student, plan)}: {label(row.metric)} {change}.")
    return sentences


def _steered(plan: Record, changes: pd.DataFrame) -> pd.DataFrame:
    """The rows in which a student's own objective is measured, in the plan's order."""
    measured = {name: entry["measured_by"] for name, entry in plan["objectives"].items()}
    own = [
        measured.get(row.objective) == f"{row.benchmark}.{row.metric}" for row in rows_of(changes)
    ]
    return changes[own]


def _wanted(plan: Record, objective: str) -> int:
    return 1 if plan["objectives"][objective]["direction"] == "maximise" else -1


def _verdict(low: float, high: float, wanted: int) -> str:
    if pd.isna(low) or low <= 0 <= high:
        return "open"
    return "clear" if (low > 0) == (wanted > 0) else "against"


def _zero(against: str, low: float, high: float) -> list[str]:
    if pd.isna(low):
        return [f"There is no interval against the {against}."]
    if low <= 0 <= high:
        return [
            f"The interval against the {against} includes zero: this study does not show a change "
            "there."
        ]
    return []


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
    data = _verdict(row["difference_low"], row["difference_high"], wanted)
    if data != "clear":
        return [text, "The selection did not measurably change the training set."]
    if verdict in ("open", "against"):
        return [text, "The training set changed as intended; the student did not follow."]
    return [text]


def _source(source: str) -> str:
    return {"single": "single-source", "multi": "multi-source"}.get(source, "unselected")


def limits(plan: Record, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Heading and explanation of every limit a reader must know."""
    found = []
    if any(value == "profanity" for _, value in flatten(plan["config"])):
        found.append(
            (
                "Coarse toxicity scorer.",
                "Toxicity is scored by a linear profanity classifier over single words. It reacts "
                "to mentions of identity as if they were insults (it scores \u201cHe is gay\u201d "
                "0.98) and misses insults in polite words. Read every toxicity number as "
                "\u201cwords this classifier dislikes\u201d.",
            )
        )
    trained = students(plan)
    seeds = {plan["models"][name]["seed"] for name in trained}
    if len(seeds) < 2:
        found.append(
            (
                "One training seed.",
                "Each training set was used once. Intervals cover the choice of evaluation "
                "examples, not the chance of another seed, other candidates or other prompts.",
            )
        )
    found.append(("What n can resolve.", _resolution(plan, tables["changes"])))
    found.append(
        (
            "Many intervals.",
            f"The report holds {int(tables['changes']['change_vs_base_low'].notna().sum())} "
            "intervals against bases, each at 95 % by itself and none corrected for their number: "
            "about one in twenty misses its true value.",
        )
    )
    found.append(
        (
            "Models.",
            f"Everything here holds for {listed(bases(plan))} and the teachers "
            f"{listed(teachers(plan))}. Nothing here says that larger models behave alike.",
        )
    )
    found.append(
        (
            "Assumptions about the paper that are ours.",
            "The number of candidates per prompt, the LoRA settings, the prompts and their number "
            "were not available to us from the paper; the values under Settings are our choice. "
            "The single-source control is the passive set, one draw of the same teacher.",
        )
    )
    return found


def _resolution(plan: Record, changes: pd.DataFrame) -> str:
    """Half the width of a typical interval against the control, per objective."""
    parts = []
    for _, rows in _steered(plan, changes).groupby("objective", sort=False):
        widths = rows["change_vs_control_high"] - rows["change_vs_control_low"]
        if widths.notna().any():
            metric = label(rows["metric"].iloc[0])
            parts.append(
                f"{metric} \u00b1 {widths.median() / 2:.1f} points (n = {int(rows['n'].median())})"
            )
    if not parts:
        return "No steered student has an interval against a random control."
    return (
        "Typical 95 % intervals of the change against the random control: "
        + "; ".join(parts)
        + ". Smaller effects cannot be told from noise here."
    )


def bases(plan: Record) -> list[str]:
    """The base models of all students, in the plan's order."""
    return list(dict.fromkeys(plan["models"][name]["base"] for name in students(plan)))


def teachers(plan: Record) -> list[str]:
    """The teachers of all training sets, in the plan's order."""
    return list(
        dict.fromkeys(name for data in plan["datasets"].values() for name in data["teachers"])
    )


def number(value: float | None) -> str:
    """Three significant digits, thousands separated, a true minus; a dash for what is missing."""
    if value is None or pd.isna(value):
        return "\u2013"
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}".replace("-", _MINUS)
    if abs(value) >= 1:
        return f"{value:.3g}".replace("-", _MINUS)
    return f"{value:.3f}".replace("-", _MINUS)


def signed(value: float) -> str:
    """`number` with a plus where it is positive."""
    return ("+" if value > 0 else "") + number(value if abs(value) < 1 else round(value, 1))


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


def count(n: int, noun: str) -> str:
    """A number with its noun: "1 prompt", "2 prompts"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Names for a sentence: "a, b and c"."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
