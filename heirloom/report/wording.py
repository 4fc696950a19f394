"""Numbers, effects and lists as text, written alike in sentences, tables and figures."""

from collections.abc import Callable, Sequence

import pandas as pd

from heirloom.analyse.effects import Effect

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def percent(value: float) -> str:
    """Return a change in percent: signed, one decimal below 100, with a true minus."""
    rounded = round(value, 1 if abs(value) < 99.95 else 0)
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else ""
    digits = f"{abs(rounded):.1f}" if abs(rounded) < 100 else f"{abs(rounded):,.0f}"
    return f"{sign}{digits} %"


def points(value: float) -> str:
    """Return `percent` without the sign, for ends of intervals."""
    return percent(value).removesuffix(" %")


def number(value: float | None) -> str:
    """Return a number with three significant digits, thousands separated, a dash if missing."""
    if value is None or pd.isna(value):
        return DASH
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}".replace("-", _MINUS)
    if abs(value) >= 1:
        return f"{value:.3g}".replace("-", _MINUS)
    return f"{value:.3f}".replace("-", _MINUS)


def signed(value: float) -> str:
    """Return `number` with a plus where it is positive."""
    return ("+" if value > 0 else "") + number(value if abs(value) < 1 else round(value, 1))


def short_unit(unit: str) -> str:
    """Return a unit without its range: "percent" for "percent, -100 to 100"."""
    return unit.partition(",")[0]


def interval(low: float, high: float, text: Callable[[float], str]) -> str:
    """Return " [low, high]", each end written by `text`; "" where there is no interval."""
    return "" if pd.isna(low) else f" [{text(low)}, {text(high)}]"


def effect_value(found: Effect, value: float) -> str:
    """Return a value on the scale of an effect: "+12.5 %", or "+0.300" for a difference."""
    return percent(value) if found.relative else signed(value)


def effect_text(found: Effect) -> str:
    """Return an effect for a sentence: "+20.0 % [+16.7, +25.0]" or "+5 [+2, +8] (points)"."""
    if pd.isna(found.value):
        return "an undefined percentage" if found.relative else "an undefined amount"
    if found.relative:
        return percent(found.value) + interval(found.low, found.high, points)
    ends = interval(found.low, found.high, signed)
    return f"{signed(found.value)}{ends} ({short_unit(found.unit)})"


def p_value(p: float) -> str:
    """Return a p value for a sentence: "p = 0.012", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def count(n: int, noun: str) -> str:
    """Return a number with its noun: "1 prompt", "2 prompts"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence: "a, b and c"."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
