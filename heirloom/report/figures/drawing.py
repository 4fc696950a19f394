"""Looks of figures: grids, axes, bars, dots, and the SVG text they become.

Every figure works in light and dark: its background is transparent and text, axes and error bars
take the colour of the text around them (currentColor). Three colours of the Okabe-Ito palette that
stay apart for colour-blind readers tell a base's own candidates, another teacher's and a pool's;
labels and hatching say the same without colour. Students without an objective are grey. A pointer
over a bar or dot shows its value and interval. Equal input gives equal bytes.
"""

import html
import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd

from heirloom.report.figures.rows import Row

#: Drawn instead of the text colour, and replaced by currentColor in the SVG.
INK = "#010203"
GREY = "#808080"
#: Okabe and Ito (2008): vermillion, green and blue, 3:1 or more against white and near-black.
COLOURS = {"own": "#D55E00", "other": "#009E73", "pool": "#0072B2"}
WIDTH = 7.6  # inches, at 72 points each
ROW = 0.27
#: Width of a figure of few horizontal bars, which is shown next to a table.
NARROW = 6.4
#: Start of the id of a bar or dot, before the text that a pointer over it shows.
_HOVER = "hover "
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def bar_heights(panels: Sequence[tuple[str, list[Row]]]) -> list[float]:
    """Heights of panels of horizontal bars, in inches."""
    return [0.72 + ROW * max(1, len(rows)) for _, rows in panels]


def colour_of(source: str | None) -> str:
    """Return the colour of students by the source of their training set; grey without one."""
    return COLOURS.get(source or "", GREY)


def grid(
    heights: Sequence[float], columns: int, *, foot: float = 0.0, width: float = WIDTH
) -> tuple[Any, Any]:
    """Return a figure and its grid.

    Args:
        heights: Heights of the grid's lines, in inches.
        columns: Number of its columns.
        foot: Height that stays free below it, in inches.
        width: Width, in inches.
    """
    # Only here: importing matplotlib takes longer than everything else in this module.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = sum(heights) + foot
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.set_layout_engine(
        "constrained", h_pad=0.07, w_pad=0.05, rect=(0, foot / height, 1, 1 - foot / height)
    )
    return figure, figure.add_gridspec(len(heights), columns, height_ratios=list(heights))


def foot(figure: Any, text: str) -> None:
    """Write a line at the bottom of a figure."""
    figure.text(0.01, 0.1 / figure.get_figheight(), text, fontsize=8.5, color=INK)


def reach(rows: Sequence[Row]) -> tuple[float, float]:
    """Return limits that hold every interval and zero, with room for labels at the right."""
    effects = [row.effect for row in rows]
    ends = [end for e in effects for end in (e.value, e.low, e.high) if not pd.isna(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    span = (high - low) or 1.0
    return low - 0.04 * span, high + 0.17 * span


def bar_panel(axis: Any, heading: str, rows: Sequence[Row], reach: tuple[float, float]) -> None:
    """Draw horizontal bars, one under the other."""
    axis.set_title(heading, loc="left", fontsize=10, fontweight="bold", color=INK)
    style_axis(axis, max(1, len(rows)))
    axis.set_yticks(range(len(rows)), [row.name for row in rows])
    axis.set_xlim(*reach)
    for position, row in enumerate(rows):
        draw_bar(axis, position, row, reach)


def draw_bar(axis: Any, position: int, row: Row, reach: tuple[float, float]) -> None:
    """Draw a horizontal bar with its interval and its value, or the word undefined."""
    value, low, high, style = row.effect.value, row.effect.low, row.effect.high, row.style
    gap = 0.012 * (reach[1] - reach[0])
    if pd.isna(value):
        axis.text(gap, position, "undefined", va="center", fontsize=9, color=INK)
        return
    gid = hover(values(row))
    if style == "control":
        bars = axis.barh(
            position, value, height=0.66, facecolor="none", edgecolor=GREY, hatch="////", lw=0.8
        )
    else:
        bars = axis.barh(position, value, height=0.66, color=colour_of(style), linewidth=0)
    for bar in bars:
        bar.set_gid(gid)
    if not pd.isna(low):
        axis.plot([low, high], [position, position], color=INK, linewidth=1.2, gid=gid)
        for end in (low, high):
            across = [position - 0.14, position + 0.14]
            axis.plot([end, end], across, color=INK, linewidth=1.2, gid=gid)
    right = max(end for end in (0.0, value, high) if not pd.isna(end))
    axis.text(right + gap, position, row.text(value), va="center", fontsize=9, color=INK)


def dot_panel(axis: Any, heading: str, rows: int) -> None:
    """Prepare a panel of dots around zero, with few ticks: it may be narrow."""
    axis.set_title(wrapped(heading), loc="left", fontsize=9, fontweight="bold", color=INK)
    style_axis(axis, rows)
    axis.locator_params(axis="x", nbins=4)
    axis.margins(x=0.08)


def wrapped(heading: str, width: int = 20) -> str:
    """Return a heading on lines of at most `width` characters."""
    return "\n".join(line for part in heading.split("\n") for line in textwrap.wrap(part, width))


def dot(axis: Any, position: float, row: Row, colour: str, filled: bool) -> None:
    """Draw a dot with its interval, or the word undefined."""
    value, low, high = row.effect.value, row.effect.low, row.effect.high
    if pd.isna(value):
        axis.text(0, position, "undefined", va="center", fontsize=8, color=INK)
        return
    gid = hover(values(row))
    if not pd.isna(low):
        axis.plot([low, high], [position, position], color=colour, linewidth=1.8, gid=gid)
    axis.plot(
        [value],
        [position],
        gid=gid,
        marker="o",
        markersize=5,
        markerfacecolor=colour if filled else "none",
        markeredgecolor=colour,
        markeredgewidth=1.3,
    )


def style_axis(axis: Any, rows: int) -> None:
    """Style an axis of so many horizontal rows around zero."""
    axis.set_ylim(rows - 0.4, -0.6)
    axis.axvline(0, color=INK, linewidth=0.9)
    axis.grid(axis="x", color=GREY, alpha=0.3, linewidth=0.6)
    axis.tick_params(axis="y", length=0, labelsize=9, colors=INK)
    axis.tick_params(axis="x", labelsize=8.5, colors=INK, color=GREY)
    style_frame(axis, "bottom")


def style_square(axis: Any) -> None:
    """Style an axis of two numbers."""
    axis.grid(color=GREY, alpha=0.3, linewidth=0.6)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=8.5, colors=INK, color=GREY)
    style_frame(axis, "bottom", "left")


def style_frame(axis: Any, *kept: str) -> None:
    """Keep these sides of the frame, in grey."""
    axis.set_facecolor("none")
    axis.set_axisbelow(True)
    for side in ("left", "top", "right", "bottom"):
        axis.spines[side].set_visible(side in kept)
        axis.spines[side].set_color(GREY)


def hover(text: str) -> str:
    """Return the id of a bar, dot or line, which `svg` replaces by a title that is `text`."""
    return _HOVER + " ".join(text.split())


def values(row: Row) -> str:
    """Return a bar or dot in words: its name, its value and its interval."""
    name, found = " ".join(row.name.split()), row.effect
    if pd.isna(found.value):
        return f"{name} undefined"
    ends = "" if pd.isna(found.low) else f" [{row.text(found.low)} to {row.text(found.high)}]"
    return f"{name} {row.text(found.value)}{ends}"


def against_base(relative: bool) -> str:
    """Return the label of an axis of changes against the base."""
    return ("% change" if relative else "difference") + " against the base, 95 % interval"


def described(panels: Sequence[tuple[str, list[Row]]]) -> str:
    """Return panels in words, for the description of a figure."""
    return " ".join(
        f"{heading}: " + "; ".join(values(row) for row in rows) + "." for heading, rows in panels
    )


def svg(figure: Any, name: str, title: str, description: str) -> str:
    """Return a figure as SVG text that can stand alone or next to others in one HTML page."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :].replace(INK, "currentColor")
    # A page holds many figures: comments and indents go, and no more than a hundredth of a point,
    # which no screen shows, is kept.
    svg = re.sub(r"\s*<!--.*?-->|(?<=\n) +", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r' (?:d|x|y|transform)="[^"]*"',
        lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]),
        svg,
    )
    svg = re.sub(rf'<g id="{_HOVER}([^"]*)">', r'<g pointer-events="all"><title>\1</title>', svg)
    # Ids are only unique within a figure, and a page holds several. Matplotlib makes some of them
    # of coordinates, whose last bits are not the same in every process: here they are numbered.
    numbers: dict[str, int] = {}
    svg = re.sub(
        r'(\bid="|url\(#|href="#)([^")]+)',
        lambda found: f"{found[1]}{name}-{numbers.setdefault(found[2], len(numbers))}",
        svg,
    )
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", FONTS, svg)
    start = svg.index(">") + 1
    text = (
        f'\n <title id="{name}-title">{html.escape(title)}</title>'
        f'\n <desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    opening = svg[: start - 1] + f' role="img" aria-labelledby="{name}-title {name}-desc">'
    return opening + text + svg[start:]
