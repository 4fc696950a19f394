"""How metrics, students and numbers are written for a reader, in figures and in words alike."""

import pandas as pd

from heirloom.study.plan import Plan
from heirloom.support.files import Record

_MINUS = "\N{MINUS SIGN}"
_LABELS = {
    "mtld": "Lexical diversity (MTLD)",
    "emt": "Expected maximum toxicity",
    "lms": "Language modelling score",
    "ss": "Stereotype score",
    "icat": "ICAT",
    "bias_ambiguous": "Bias, ambiguous contexts",
    "bias_disambiguated": "Bias, disambiguated contexts",
    "ece": "Calibration error (ECE)",
    "ece_1bin": "Calibration error (ECE, 1 bin)",
    "acc": "Accuracy",
    "acc_norm": "Accuracy (length-normalised)",
    "p_value": "p value",
    "mean_abs_effect_size": "Mean absolute effect size",
    "human_agreement": "Agreement with humans",
    "human_agreement_with_ties": "Agreement with humans, ties counted",
    "kappa_human": "Kappa with humans",
}
_BENCHMARKS = {
    "stereoset": "StereoSet",
    "crows_pairs": "CrowS-Pairs",
    "seat": "SEAT",
    "bbq": "BBQ",
    "general": "General abilities",
}
#: Benchmarks whose metrics need no benchmark beside their name.
STYLE = ("text", "toxicity")


def label(metric: str) -> str:
    """A metric's name for a reader: "Calibration error (ECE), hellaswag"."""
    name, _, category = metric.partition(".")
    text = _LABELS.get(name, name.replace("_", " ").capitalize())
    return f"{text}, {category.replace('_', ' ')}" if category else text


def short_unit(unit: str) -> str:
    """A unit without its range: "percent" of "percent, -100 to 100"."""
    return unit.partition(",")[0]


def benchmark_label(benchmark: str) -> str:
    """A benchmark's name for a reader."""
    return _BENCHMARKS.get(benchmark, benchmark.replace("_", " ").capitalize())


def full_label(benchmark: str, metric: str) -> str:
    """`label` with the benchmark before it, where the metric alone does not say which it is."""
    text = label(metric)
    if benchmark in STYLE:
        return text
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return f"{benchmark_label(benchmark)}: {text}"


def objective_label(name: str, plan: Plan) -> str:
    """An objective's metric and direction: "Length (maximise)", with its name if two read so."""

    def text(objective: Record) -> str:
        return f"{full_label(*objective['measured_by'].split('.', 1))} ({objective['direction']})"

    own = text(plan.objectives[name])
    alike = [text(objective) for objective in plan.objectives.values()].count(own)
    return own if alike == 1 else f"{own}: {name}"


def student_label(student: str, plan: Plan, *, dataset: str | None = None) -> str:
    """A student's name without the parts that every student of the study shares.

    Args:
        student: its id, or `base.dataset` for all its seeds together.
        plan: the study's plan.
        dataset: what to call its data set, its id unless given.
    """
    trained = [model for model in plan.models.values() if model.role == "student"]
    pooled = plan.students_by_seed
    model = plan.models[pooled.get(student, [student])[0]]
    parts = [dataset or model.dataset]
    if len({other["base"] for other in trained}) > 1:
        parts.insert(0, model.base)
    if student not in pooled and len({other["seed"] for other in trained}) > 1:
        parts.append(f"s{model['seed']}")
    return (".".join if dataset is None else ": ".join)(parts)


def percent(value: float) -> str:
    """A change in percent: signed, one decimal below 100, a true minus."""
    rounded = round(value, 1 if abs(value) < 99.95 else 0)
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else ""
    digits = f"{abs(rounded):.1f}" if abs(rounded) < 100 else f"{abs(rounded):,.0f}"
    return f"{sign}{digits} %"


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
