"""Downloads: tables as CSV and LaTeX, in links that hold the file themselves."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import pandas as pd

from heirloom.report.cells import Cell, View
from heirloom.report.user_text import visible

#: Tables with more rows than this may break across pages.
_LONG = 40
#: Text longer than this gets a column in which lines break.
_WIDE = 60
#: Front of a compact table.
_SMALL = "\\scriptsize\n\\setlength{\\tabcolsep}{4pt}\n"
_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "\N{MINUS SIGN}": "$-$",
        "\N{EN DASH}": "--",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
        "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
        "\N{NO-BREAK SPACE}": "~",
        "\n": " ",
        "\t": " ",
    }
)


#: Longer texts (in characters) are offered compressed: they would make most of a large page.
_COMPRESSED = 10_000


@dataclass(frozen=True)
class Download:
    """A file within the page: the link that holds it, and the name it is saved by."""

    link: str
    name: str


def download(text: str, kind: str, name: str) -> Download:
    """Return a file of this media type within the page; a long one is compressed (gzip)."""
    if len(text) <= _COMPRESSED:
        return Download(data_uri(text, kind), name)
    packed = gzip.compress(text.encode(errors="replace"), mtime=0)
    held = base64.b64encode(packed).decode()
    return Download(f"data:application/gzip;base64,{held}", f"{name}.gz")


def data_uri(text: str, kind: str) -> str:
    """Return a link that holds `text` of this media type, in the shorter of two encodings."""
    text = text.encode(errors="replace").decode()
    plain = quote(text, safe=" !*'(),/:;=?@[]|{}$+~\\")
    packed = base64.b64encode(text.encode()).decode()
    if len(plain) <= len(packed):
        return f"data:{kind};charset=utf-8,{plain}"
    return f"data:{kind};charset=utf-8;base64,{packed}"


def latex(view: View, caption: Sequence[str], name: str, *, compact: bool = False) -> str:
    """Return a table as LaTeX, as the report shows it; needs the packages booktabs and longtable.

    Args:
        view: The table.
        caption: Its paragraphs, of which the first is printed.
        name: The label, after "tab:".
        compact: True for small type, and headings of numbers that break into lines.
    """
    table = pd.DataFrame([[_marked(cell) for cell in row] for row in view.rows])
    # A row that starts with a bracket would be read as an option of the line break before it.
    if len(table.columns):
        table[0] = [f"{{}}{text}" if text[:1] in ("[", "*") else text for text in table[0]]
    widest = [max((len(row[i].text) for row in view.rows), default=0) for i in _range(view)]
    columns = "".join(
        "r" if numeric else "l" if widest[i] <= _WIDE else r"p{0.5\linewidth}"
        for i, (_, numeric) in enumerate(view.headings)
    )
    text = table.to_latex(
        index=False,
        header=[_heading(text, broken=compact and numeric) for text, numeric in view.headings],
        escape=False,
        longtable=len(view.rows) > _LONG,
        column_format=columns,
        caption=_cell(caption[0]),
        label=f"tab:{name}",
    )
    if compact and len(view.rows) > _LONG:
        text = f"{{{_SMALL}{text}}}\n"
    elif compact:
        text = text.replace("\\begin{tabular}", f"{_SMALL}\\begin{{tabular}}", 1)
    return f"% \\usepackage{{booktabs,longtable}}\n{text}"


def _range(view: View) -> range:
    return range(len(view.headings))


def _heading(text: str, *, broken: bool) -> str:
    latex = f"\\parbox[b]{{9em}}{{\\raggedleft {_cell(text)}}}" if broken else _cell(text)
    return latex.replace("{", "{{").replace("}", "}}")  # pandas formats headings


def _marked(cell: Cell) -> str:
    return f"\\textbf{{{_cell(cell.text)}}}" if cell.best else _cell(cell.text)


def _cell(text: str) -> str:
    return visible(text).translate(_LATEX)
