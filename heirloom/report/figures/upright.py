"""Panels of upright bars in groups, next to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from heirloom.report.figures import drawing
from heirloom.report.figures.rows import Row, in_one_unit, is_relative

_HEIGHT = 2.5  # inches of a panel
#: Most bars of a panel that leave room for three panels in a line.
_NARROW = 4


@dataclass(frozen=True)
class Bar:
    """An upright bar; `below` is written under it, in front of its group's text."""

    row: Row
    below: str = ""


@dataclass(frozen=True)
class Group:
    """Bars side by side; `below` is written under all of them."""

    below: str
    bars: list[Bar]


@dataclass(frozen=True)
class Panel:
    """Groups of bars on one axis, all in one unit, under a heading."""

    heading: str
    groups: list[Group]

    @property
    def rows(self) -> list[Row]:
        """Effects of all bars, in percent if all can be."""
        return in_one_unit([bar.row for group in self.groups for bar in group.bars])


@dataclass(frozen=True)
class Texts:
    """Texts of a figure.

    Attributes:
        title: Its title for those who do not see it.
        foot: The line at its bottom.
        below: Name of the x axis of every panel.
    """

    title: str
    foot: str
    below: str = ""


def upright(name: str, panels: Sequence[Panel], texts: Texts) -> str:
    """Return panels of upright bars as SVG text."""
    panels = panels or [Panel("No students", [])]
    columns = min(len(panels), 3 if max(len(panel.rows) for panel in panels) <= _NARROW else 2)
    lines = -(-len(panels) // columns)
    figure, grid = drawing.grid([_HEIGHT] * lines, columns, foot=0.3)
    for index, panel in enumerate(panels):
        axis = figure.add_subplot(grid[index // columns, index % columns])
        relative = is_relative(panel.rows)
        text = "% change against the base" if relative else "difference to the base"
        axis.set_ylabel(text, fontsize=8.5, color=drawing.INK)
        axis.set_xlabel(texts.below, fontsize=8.5, color=drawing.INK)
        _style(axis, drawing.wrapped(panel.heading, int(9 * drawing.WIDTH / columns)))
        _draw(axis, panel)
    drawing.foot(figure, texts.foot)
    described = drawing.described([(panel.heading, panel.rows) for panel in panels])
    return drawing.svg(figure, name, texts.title, described)


def _style(axis: Any, heading: str) -> None:
    axis.set_title(heading, loc="left", fontsize=9.5, fontweight="bold", color=drawing.INK)
    axis.axhline(0, color=drawing.INK, linewidth=0.9)
    axis.grid(axis="y", color=drawing.GREY, alpha=0.3, linewidth=0.6)
    axis.locator_params(axis="y", nbins=6)
    axis.tick_params(axis="y", labelsize=8.5, colors=drawing.INK, color=drawing.GREY)
    axis.tick_params(axis="x", which="both", length=0, labelsize=8.5, colors=drawing.INK)
    drawing.style_frame(axis, "left")


def _draw(axis: Any, panel: Panel) -> None:
    """Draw groups of bars along the x axis."""
    rows = iter(panel.rows)
    low, high = drawing.reach(panel.rows)
    axis.set_ylim(low, high)
    names, centres, position = [], [], 0.0
    for group in panel.groups:
        centres.append(position + (len(group.bars) - 1) / 2)
        for bar in group.bars:
            names.append((position, bar.below))
            _bar(axis, position, next(rows), 0.02 * (high - low))
            position += 1
        position += 0.6  # between groups
    axis.set_xlim(-0.7, max(position - 0.9, 0.7))
    axis.xaxis.remove_overlapping_locs = False  # the middle bar of a group stands at its centre
    axis.set_xticks([where for where, _ in names], [text for _, text in names], minor=True)
    # Below the names of the bars, if they have any.
    line = "\n" if any(text for _, text in names) else ""
    axis.set_xticks(centres, [line + group.below for group in panel.groups])


def _bar(axis: Any, position: float, row: Row, gap: float) -> None:
    """Draw one bar with its interval, and its value above it."""
    value, low, high = row.effect.value, row.effect.low, row.effect.high
    if pd.isna(value):
        axis.text(position, gap, "undefined", ha="center", fontsize=8, color=drawing.INK)
        return
    look: dict[str, Any] = {"color": drawing.colour_of(row.style), "linewidth": 0}
    if row.style == "control":
        look = {"facecolor": "none", "edgecolor": drawing.GREY, "hatch": "////", "lw": 0.8}
    gid = drawing.hover(drawing.values(row))
    for bar in axis.bar(position, value, width=0.8, **look):
        bar.set_gid(gid)
    if not pd.isna(low):
        line = {"color": drawing.INK, "linewidth": 1.2, "gid": gid}
        axis.plot([position, position], [low, high], **line)
        for end in (low, high):
            axis.plot([position - 0.16, position + 0.16], [end, end], **line)
    top = max(end for end in (0.0, value, high) if not pd.isna(end))
    text = row.text(value)
    axis.text(position, top + gap, text, ha="center", va="bottom", fontsize=8, color=drawing.INK)
