"""The figures of a study, as SVG text. Each module here registers one.

To add a figure, add a module with a function decorated by `@figure`, here or in a plugin:

    from heirloom.report.figures import figure

    @figure("shares", title="Shares", tables=("winners",))
    def shares(winners: pd.DataFrame, plan: Plan) -> str:
        '''Share of each teacher among the chosen completions.'''
        ...

It gets the tables that it names, then the plan, and returns an `<svg>` element with a title and a
description (`heirloom.report.figures.drawing.svg` makes one of a Matplotlib figure). Equal tables
must give equal text. Import Matplotlib inside the function: every module here is imported to find
its figures. Nothing else needs to change: the figure is drawn with the others and shown in the
report, with the first paragraph of its docstring as its caption.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import pandas as pd

from heirloom.analyse.tables import read_all
from heirloom.report.user_text import shown
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.files import write_text
from heirloom.support.registry import Registry

Draw = Callable[..., str]
"""`draw(*tables, plan)`: SVG text."""
#: Place of figures that state none: behind heirloom's own.
_LAST = 1000


def _always(plan: Plan) -> bool:
    return True


@dataclass(frozen=True)
class Figure:
    """A registered figure.

    Attributes:
        name: Its name in file names and links.
        title: Its name for a reader.
        caption: Caption of a figure that has none in report/captions/: the first paragraph of the
            function's docstring.
        function: Draws it from its tables and the plan.
        tables: Names of the tables that it is drawn from.
        order: Its place in the report, ascending.
        applies: Returns True if a study with this plan has the figure.
    """

    name: str
    title: str
    caption: str
    function: Draw
    tables: tuple[str, ...]
    order: int = _LAST
    applies: Callable[[Plan], bool] = _always

    def draw(self, tables: Mapping[str, pd.DataFrame], plan: Plan) -> str:
        """Return the figure as SVG text.

        Args:
            tables: Tables by name, among them those that it is drawn from.
            plan: The study's plan.
        """
        return self.function(*(tables[name].map(shown) for name in self.tables), plan)


class Facts(TypedDict, total=False):
    """Optional facts about a figure: the attributes of `Figure` by the same names."""

    tables: tuple[str, ...]
    order: int
    applies: Callable[[Plan], bool]


FIGURES: Registry[Figure] = Registry("figure", "heirloom.report.figures")


def figure(name: str, *, title: str, **facts: Unpack[Facts]) -> Callable[[Draw], Draw]:
    """Register the decorated function as a figure.

    Args:
        name: Its name in file names and links.
        title: Its name for a reader.
        facts: See `Figure`; the table `changes` is drawn unless `tables` says otherwise.

    Raises:
        HeirloomError: Another file has registered this name.
    """

    def register(draw: Draw) -> Draw:
        caption = " ".join((inspect.getdoc(draw) or "").partition("\n\n")[0].split())
        stated: Facts = {"tables": ("changes",), **facts}
        FIGURES.register(name, Figure(name, title, caption, draw, **stated), source=draw)
        return draw

    return register


def figure_names(plan: Plan) -> list[str]:
    """Names of the figures of the study with this plan, in the order of the report."""
    there = [figure for figure in FIGURES if figure.applies(plan)]
    return [figure.name for figure in sorted(there, key=lambda figure: (figure.order, figure.name))]


def write_figures(root: str | Path) -> None:
    """Draw the figures of the study whose results are in `root`, from its written tables.

    Raises:
        HeirloomError: A table is missing.
    """
    paths = Paths(str(root))
    plan = Plan.read(paths.plan())
    tables = read_all(Path(paths.table("changes")).parent, plan)
    for name in figure_names(plan):
        write_text(paths.figure(name), FIGURES.get(name).draw(tables, plan))
