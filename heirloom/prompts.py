"""Read prompts from the formats that instruction data comes in, and split them."""

import gzip
import hashlib
import io
import json
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from heirloom.errors import HeirloomError
from heirloom.files import Record

logger = logging.getLogger(__name__)


def read_prompts(
    path: str | Path, *, text: str, input: str | None = None, id: str | None = None
) -> list[Record]:
    """Read the distinct prompts of a file.

    Args:
        path: `.jsonl`, `.json` (a list of objects; Alpaca), `.csv`, `.tsv`, `.parquet` or `.txt`
            (a prompt a line), each also with `.gz`.
        text: Column with the prompt. A dot reaches into nested objects. A `.txt` has no columns:
            this, `input` and `id` are unused for it.
        input: Column with a second part, put below the first after an empty line.
        id: Column with a stable id. Without it the id is a hash of the text.

    Returns:
        {"id", "text"}, in the order of the file. Empty prompts and repeated ones are left out and
        their number is logged.

    Raises:
        HeirloomError: the file cannot be read, a row lacks a column, an id occurs twice, or no
            prompt is left.
    """
    path = Path(path)
    prompts: dict[str, Record] = {}
    texts: dict[str, str] = {}  # text -> id of the first prompt with it
    n_empty = n_repeated = 0
    plain = ".txt" in path.suffixes
    for number, row in _rows(path):
        columns = [text] if input is None else [text, input]
        parts = [row] if plain else [_cell(row, column, path, number) for column in columns]
        prompt = "\n\n".join(part.strip() for part in parts if part.strip())
        if not prompt:
            n_empty += 1
            continue
        if prompt in texts:
            n_repeated += 1
            continue
        digest = hashlib.sha256(prompt.encode()).hexdigest()[:12]
        key = digest if plain or id is None else _cell(row, id, path, number)
        if key in prompts:
            raise HeirloomError(
                f"{path}, row {number}: the id {key!r} occurs twice. Ids must be distinct; leave "
                "`columns.id` out to number prompts by a hash of their text."
            )
        texts[prompt] = key
        prompts[key] = {"id": key, "text": prompt}
    if n_empty or n_repeated:
        logger.warning("%s: left out %d empty and %d repeated prompts", path, n_empty, n_repeated)
    if not prompts:
        raise HeirloomError(f"{path} has no prompt. Expected text in the column {text!r}.")
    return list(prompts.values())


def split_prompts(
    prompts: Iterable[Record], *, train: int, eval: int, seed: int, name: str
) -> tuple[list[Record], list[Record]]:
    """Draw disjoint train and eval prompts.

    The order is that of SHA-256 of "seed/id". Eval prompts come from its start and train prompts
    from its end, so that a larger split leaves the other as it is.

    Raises:
        HeirloomError: there are fewer prompts than asked for.
    """
    ordered = sorted(
        prompts, key=lambda p: hashlib.sha256(f"{seed}/{p['id']}".encode()).hexdigest()
    )
    if len(ordered) < train + eval:
        raise HeirloomError(
            f"prompts.{name} asks for {train} train and {eval} eval prompts, but its source has "
            f"{len(ordered)} distinct ones. Lower `train` or `eval`, or add prompts."
        )
    return ordered[::-1][:train], ordered[:eval]


def _rows(path: Path) -> Iterable[tuple[int, Any]]:
    """Rows with their number, from 1."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    try:
        if kind in (".csv", ".tsv", ".parquet"):
            import pandas as pd

            if kind == ".parquet":
                packed = path.suffix.lower() == ".gz"
                content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
                table = pd.read_parquet(io.BytesIO(content))
            else:
                separator = "\t" if kind == ".tsv" else ","
                table = pd.read_csv(path, sep=separator, keep_default_na=False, dtype=str)
            return list(enumerate(table.to_dict(orient="records"), start=1))
        opener = gzip.open if path.suffix.lower() == ".gz" else open
        # utf-8-sig: Windows editors put a byte order mark in front.
        with opener(path, "rt", encoding="utf-8-sig") as handle:
            text = handle.read()
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise HeirloomError(f"{path} cannot be read as {kind or 'text'}: {error}") from error
    if kind == ".txt":
        return list(enumerate(text.split("\n"), start=1))
    if kind in (".json", ".jsonl"):
        return _json_rows(path, text)
    raise HeirloomError(
        f"{path}: prompts are read from .jsonl, .json, .csv, .tsv, .parquet and .txt files."
    )


def _json_rows(path: Path, content: str) -> list[tuple[int, Any]]:
    """Rows of a JSON list or of JSON lines: files of both kinds end in `.json`."""
    if content.lstrip().startswith("["):
        try:
            return list(enumerate(json.loads(content), start=1))
        except ValueError as error:
            raise HeirloomError(f"{path} is not valid JSON: {error}") from error
    rows = []
    # Not splitlines: JSON leaves other separators, such as U+2028, as they are inside a text.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except ValueError as error:
            raise HeirloomError(f"{path}, line {number}: not valid JSON ({error})") from error
    return rows


def _cell(row: Any, column: str, path: Path, number: int) -> str:
    """The text in one column of a row; null is the empty text."""
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            known = ", ".join(row) if isinstance(row, dict) else "none, it is no object"
            raise HeirloomError(
                f"{path}, row {number}: no column {column!r} (there are: {known}). Set `columns` "
                "of this prompt set in the study file."
            )
        value = value[part]
    if value is None or (isinstance(value, float) and value != value):  # pandas' null is nan
        return ""
    if not isinstance(value, str | int | float):
        raise HeirloomError(
            f"{path}, row {number}: column {column!r} holds no text but {str(value)[:60]}. A dot "
            "reaches into nested objects: `prompt.text`. Set `columns` of this prompt set in the "
            "study file."
        )
    return str(value)
