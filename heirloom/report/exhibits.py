"""Titles and captions of tables and figures."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heirloom.analyse.tables import TABLES, Table
from heirloom.report.figures import FIGURES, Figure
from heirloom.support.errors import HeirloomError

#: The templates, the captions and what else the report is made of.
TEMPLATES = Path(__file__).resolve().parents[2] / "report"
CAPTIONS = TEMPLATES / "captions"


@dataclass(frozen=True)
class Exhibit:
    """A table or figure as a reader meets it: its title, and the paragraphs of its caption."""

    title: str
    caption: list[str]


def exhibits(tables: Iterable[str], figures: Iterable[str]) -> dict[str, Exhibit]:
    """Return the titles and captions of these tables and figures, by name.

    Raises:
        HeirloomError: One has no caption.
    """
    registered: list[Table | Figure] = [
        *(TABLES.get(name) for name in tables),
        *(FIGURES.get(name) for name in figures),
    ]
    return {part.name: Exhibit(part.title, caption_of(part)) for part in registered}


def caption_of(part: Table | Figure) -> list[str]:
    """Return the paragraphs of a table's or figure's caption.

    They are in report/captions/NAME.rst for those of heirloom; others state theirs where they are
    registered.

    Raises:
        HeirloomError: There is none.
    """
    file = CAPTIONS / f"{part.name}.rst"
    text = file.read_text(encoding="utf-8") if file.exists() else part.caption
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    found = [paragraph for paragraph in paragraphs if paragraph]
    if not found:
        raise HeirloomError(
            f"{part.name} has no caption: give the function that makes it a docstring, whose first "
            f"paragraph becomes the caption, or write {file}."
        )
    return found
