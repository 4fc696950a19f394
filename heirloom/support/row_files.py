"""Read the rows of a data file, in any of the usual formats."""

import csv
import gzip
import io
import json
import zlib
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError

from heirloom.support.errors import HeirloomError


@dataclass(frozen=True)
class Row:
    """One row: its place, for messages ("data.jsonl, line 3"), and its values."""

    where: str
    values: Any


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("this text is empty")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
"""A text with something in it, as a field of a layout."""

Layout = TypeVar("Layout", bound=BaseModel)


def parse_row(row: Row, layout: type[Layout], *, expected: str) -> Layout:
    """Check a row against the layout that its data set has.

    Args:
        row: The row.
        layout: Class of the layout.
        expected: The layout in a sentence, for the message.

    Raises:
        HeirloomError: The row is no object, or a key is missing or wrong: the first is named.
    """
    try:
        return layout.model_validate(row.values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise HeirloomError(
            f"{row.where}: {f'{key}: ' if key else ''}{first['msg']}. {expected}"
        ) from None


def read_rows(path: str | Path) -> list[Row]:
    """Read every row of a file.

    Args:
        path: `.jsonl`, `.json` (a list of objects, or JSON lines), `.csv`, `.tsv`, `.parquet`,
            `.arrow` (as the `datasets` library writes it) or `.txt` (one row per line), each also
            with `.gz`.

    Returns:
        The rows in the order of the file: of a `.txt` its lines as text, otherwise objects. All
        cells of `.csv` and `.tsv` are text, an empty one is "".

    Raises:
        HeirloomError: The file cannot be read; a malformed line is named.
    """
    path = Path(path)
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        if kind in (".csv", ".tsv", ".parquet", ".arrow"):
            return _table_rows(path, kind, content)
        text = content.decode("utf-8-sig")  # Windows editors put a byte order mark in front.
    except (OSError, ValueError, EOFError, zlib.error, csv.Error) as error:
        raise HeirloomError(f"{path} cannot be read as {kind or 'text'}: {error}") from error
    # Not splitlines: JSON leaves other separators, such as U+2028, as they are inside a text.
    lines = [
        (f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), start=1)
    ]
    if kind == ".txt":
        return [Row(where, line) for where, line in lines]
    if kind in (".json", ".jsonl"):
        return _json_rows(path, text, lines)
    raise HeirloomError(
        f"{path}: rows are read from .jsonl, .json, .csv, .tsv, .parquet, .arrow and .txt files."
    )


def _table_rows(path: Path, kind: str, content: bytes) -> list[Row]:
    if kind == ".arrow":
        import pyarrow

        rows = pyarrow.ipc.open_stream(content).read_all().to_pylist()
    elif kind == ".parquet":
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    else:
        rows = _separated_rows(path, content.decode("utf-8-sig"), "\t" if kind == ".tsv" else ",")
    return [Row(f"{path}, row {number}", values) for number, values in enumerate(rows, start=1)]


def _separated_rows(path: Path, text: str, separator: str) -> list[dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [row for row in lines if row]  # not blank lines
    header = rows.pop(0) if rows else []
    for number, row in enumerate(rows, start=1):
        if len(row) > len(header):
            raise HeirloomError(
                f"{path}, row {number}: {len(row)} cells under {len(header)} columns. A cell "
                "with a separator or a line break in it belongs in double quotes."
            )
    # Spreadsheets leave empty cells at the end of a row out.
    return [dict(zip_longest(header, row, fillvalue="")) for row in rows]


def _json_rows(path: Path, text: str, lines: list[tuple[str, str]]) -> list[Row]:
    """Return the rows of a JSON list or of JSON lines: files of both kinds end in `.json`."""
    if text.lstrip().startswith("["):
        try:
            return [
                Row(f"{path}, row {number}", values)
                for number, values in enumerate(json.loads(text), start=1)
            ]
        except ValueError as error:
            raise HeirloomError(f"{path} is not valid JSON: {error}") from error
    rows = []
    for where, line in lines:
        if not line.strip():
            continue
        try:
            rows.append(Row(where, json.loads(line)))
        except ValueError as error:
            raise HeirloomError(f"{where}: not valid JSON ({error})") from error
    return rows


def read_document(path: str | Path) -> Any:
    """Read a file that is one JSON document, also with `.gz`.

    Raises:
        HeirloomError: The file cannot be read or is not JSON.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        return json.loads(content)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise HeirloomError(f"{path} cannot be read as JSON: {error}") from error
