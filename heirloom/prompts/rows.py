"""Read the rows of a prompt or data file, in any of the usual formats.

The `datasets` library reads tables (.csv, .tsv, .parquet, .arrow) and lines of text. Where it would
guess, its options forbid it: cells of .csv are text, and "NA" is no missing value. Where it reads
on in spite of an error, the file is checked first: it takes a quote that is opened by mistake for a
cell that ends rows later.

JSON is decoded by Python's own decoder. The JSON reader of `datasets` has a type for every column,
and changes what does not fit it: a column of dates becomes one of timestamps; where "007" and 7
meet, or a text and an object, a text that is itself JSON is decoded ("007" becomes 7, "null" a
null); floats lose digits after the ninth, and a whole number of more than 64 bits ends the file.
"""

import csv
import io
import json
import logging
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heirloom.prompts.encoding import COMPRESSIONS, read_bytes, read_text
from heirloom.support.errors import HeirloomError

logger = logging.getLogger(__name__)

_JSON = (".json", ".jsonl", ".ndjson")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_COLUMNAR = {".parquet": "parquet", ".arrow": "arrow"}
# Longer than any file: Python refuses cells of more than 131,072 characters by default.
_LONGEST_CELL = 2**31 - 1
_HALF_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON escapes it
_HALVES = re.compile("[\ud800-\udfff]")
_LISTED = 20


@dataclass(frozen=True)
class Row:
    """One row: its place, for messages ("data.jsonl, line 3"), and its values."""

    where: str
    values: Any


def read_rows(path: str | Path) -> list[Row]:
    """Read every row of a file.

    Args:
        path: `.jsonl`, `.ndjson` or `.json` (JSON lines, or a list), `.csv`, `.tsv`, `.parquet`,
            `.arrow` (as `datasets` writes it) or `.txt` (one row per line), each also compressed:
            `.gz`, `.bz2`, `.xz`, `.zst` or `.zip`. Capital letters in its name are no matter.
            A JSON file may also hold one table by columns, as pandas writes it. Of a folder, every
            file in it, in the order of their names.

    Returns:
        The rows in the order of the file: of a `.txt` its lines as text, otherwise objects. All
        cells of `.csv` and `.tsv` are text, an empty one is "".

    Raises:
        HeirloomError: The file cannot be read; a malformed row is named.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(found for found in path.rglob("*") if found.is_file())
        return [row for file in files for row in read_rows(file)]
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in COMPRESSIONS]
    kind = suffixes[-1] if suffixes else ""
    if kind in _JSON:
        return _json_rows(path, read_text(path))
    if kind in _SEPARATORS:
        return _numbered(path, _separated_rows(path, kind))
    if kind in _COLUMNAR:
        return _numbered(path, _columnar_rows(path, kind))
    if kind == ".txt":
        lines = _load(path, "text", read_text(path).encode())
        return [Row(f"{path}, line {n}", line["text"]) for n, line in enumerate(lines, start=1)]
    raise HeirloomError(
        f"{path}: rows are read from .jsonl, .json, .csv, .tsv, .parquet, .arrow and .txt files, "
        "also compressed (.gz, .bz2, .xz, .zst, .zip)."
    )


def _numbered(path: Path, rows: Sequence[Any]) -> list[Row]:
    return [Row(f"{path}, row {number}", values) for number, values in enumerate(rows, start=1)]


# Tables and lines


def _load(path: Path, builder: str, content: bytes, **options: Any) -> list[Any]:
    """Read a file's content with a builder of `datasets`.

    It reads a copy of a plain name: a name with brackets in it would be a pattern to it, and one
    that begins with a dot would be left out.
    """
    if not content:
        return []
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # what it logs, it raises as well
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "rows"
        try:
            copy.write_bytes(content)
            found = datasets.load_dataset(
                builder,
                data_files=str(copy),
                split="train",
                cache_dir=f"{folder}/cache",
                keep_in_memory=True,
                **options,
            )
            rows: list[Any] = found.to_list()
        except Exception as error:  # those of pandas, Arrow and of datasets itself
            cause = error.__cause__ or error
            raise HeirloomError(
                f"{path} cannot be read as {builder}: {' '.join(str(cause).split())}"
            ) from error
    return rows


def _columnar_rows(path: Path, kind: str) -> list[Any]:
    content = read_bytes(path)
    if kind == ".parquet" and _is_empty_parquet(content):
        return []  # `datasets` refuses it
    return _load(path, _COLUMNAR[kind], content)


def _is_empty_parquet(content: bytes) -> bool:
    import pyarrow.parquet

    try:
        return bool(pyarrow.parquet.read_metadata(io.BytesIO(content)).num_rows == 0)
    except (ValueError, OSError):
        return False


def _separated_rows(path: Path, kind: str) -> list[Any]:
    text = read_text(path)
    separator = _separator(text, _SEPARATORS[kind])
    header, n_rows = _check_separated(path, text, separator)
    if n_rows == 0:
        return []
    import datasets

    rows = _load(
        path,
        "csv",
        text.encode(),
        sep=separator,
        header=0,
        column_names=header,
        features=datasets.Features({name: datasets.Value("string") for name in header}),
        index_col=False,
        keep_default_na=False,
        na_filter=False,
    )
    if len(rows) != n_rows:
        raise HeirloomError(
            f"{path} cannot be read for sure: it has {n_rows} rows, or {len(rows)} if quotes and "
            "line breaks are taken otherwise. Put every cell with a quote, a separator or a line "
            "break in it into double quotes, or use .jsonl."
        )
    return rows


def _separator(text: str, usual: str) -> str:
    """Return the separator of a table: another one than usual if the header has that alone.

    Spreadsheets write semicolons where a comma is the decimal sign.
    """
    header = text.lstrip("\r\n").split("\n", 1)[0]
    if usual in header:
        return usual
    return max((usual, ";", "\t", ",", "|"), key=header.count)


def _check_separated(path: Path, text: str, separator: str) -> tuple[list[str], int]:
    """Check a table before it is read.

    Returns:
        The names of its columns, and the number of rows below them.

    Raises:
        HeirloomError: A quote is not closed, a row is longer than the header, or two columns have
            one name.
    """
    csv.field_size_limit(_LONGEST_CELL)
    header: list[str] | None = None
    n_rows = 0
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    start = 1
    try:
        for row in lines:
            start, began = lines.line_num + 1, start
            if not "".join(row).strip() and len(row) < 2:
                continue  # a blank line
            if header is None:
                header = _header(path, row)
                continue
            n_rows += 1
            if len(row) > len(header):
                raise HeirloomError(
                    f"{path}, row {n_rows}: {len(row)} cells under {len(header)} columns, "
                    f"separated by {separator!r}, in line {began}. A cell with a separator or a "
                    "line break in it belongs in double quotes."
                )
    except csv.Error as error:
        raise HeirloomError(
            f"{path}, row {n_rows + 1} (line {start}): a quote is opened and not closed where its "
            f"cell ends ({error}). Close it; a quote inside a quoted cell is written twice."
        ) from None
    return header or [], n_rows


def _header(path: Path, cells: list[str]) -> list[str]:
    repeated = next((name for name in cells if name and cells.count(name) > 1), None)
    if repeated is not None:
        raise HeirloomError(f"{path}: two columns are called {repeated!r}. Rename one.")
    # Tables of pandas have an index without a name.
    return [name or f"column {number}" for number, name in enumerate(cells, start=1)]


# JSON


def _json_rows(path: Path, text: str) -> list[Row]:
    """Return the rows of a JSON list or of JSON lines: files of both kinds end in `.json`."""
    if text.lstrip().startswith("["):
        rows = _numbered(path, _decoded(str(path), text))
        return _without_halves(rows) if _HALF_SURROGATE.search(text) else rows
    # Not splitlines: JSON leaves other separators, such as U+2028, as they are inside a text.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                rows.append(Row(where, _decoded(where, line)))
            except HeirloomError:
                table = None if rows else _one_object(path, text)
                if table is None:
                    raise
                rows = table
                break
    if len(rows) == 1:
        rows = _by_columns(path, rows[0].values) or rows
    return _without_halves(rows) if _HALF_SURROGATE.search(text) else rows


def _one_object(path: Path, text: str) -> list[Row] | None:
    """Return the rows of a table by columns that is written over several lines.

    None if the text is no JSON.

    Raises:
        HeirloomError: It is another object.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    rows = _by_columns(path, document)
    if rows is None:
        keys = ", ".join(list(document)[:5])
        raise HeirloomError(
            f"{path} is one JSON object (with {keys}), not rows. Rows are read from a list of "
            "objects, or from one object per line."
        )
    return rows


def _by_columns(path: Path, document: Any) -> list[Row] | None:
    """Return the rows of a table by columns, in its order; None if the document is none.

    `DataFrame.to_json` of pandas writes {column: {label: cell}}. Labels are whole numbers there, by
    which the table is told from a row that holds objects.
    """
    columns = list(document.values()) if isinstance(document, dict) else []
    if not columns or not all(isinstance(column, dict) and column for column in columns):
        return None
    labels = list(columns[0])
    if not all(re.fullmatch("[0-9]+", label) for label in labels):
        return None
    if any(list(column) != labels for column in columns):
        return None
    return _numbered(
        path, [{name: column[label] for name, column in document.items()} for label in labels]
    )


def _decoded(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f", line {error.lineno}" if "\n" in text.strip() else ""
        raise HeirloomError(f"{where}{place}: not valid JSON ({error})") from None
    except ValueError as error:  # a number of too many digits
        raise HeirloomError(f"{where}: not valid JSON ({error})") from None
    except RecursionError:
        raise _too_deep(where) from None


def _too_deep(where: str) -> HeirloomError:
    return HeirloomError(
        f"{where}: lists or objects are nested too deeply to be read. Take this row out."
    )


def _without_halves(rows: list[Row]) -> list[Row]:
    """Replace halves of surrogate pairs, which no encoding can write, and say where they were.

    They are left by programs that cut a text in the middle of an emoji.
    """
    whole, replaced = [], []
    for row in rows:
        try:
            text = json.dumps(row.values, ensure_ascii=False)
        except RecursionError:
            raise _too_deep(row.where) from None
        if _HALVES.search(text):
            replaced.append(row.where)
            row = Row(row.where, json.loads(_HALVES.sub("\N{REPLACEMENT CHARACTER}", text)))
        whole.append(row)
    if replaced:
        logger.warning(
            "half of a surrogate pair was replaced by U+FFFD in %d rows: %s%s",
            len(replaced),
            "; ".join(replaced[:_LISTED]),
            " ..." if len(replaced) > _LISTED else "",
        )
    return whole
