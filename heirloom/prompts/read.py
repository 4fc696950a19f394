"""Read prompts from the formats that instruction data comes in."""

import hashlib
import logging
import re
import unicodedata
from pathlib import Path
from typing import Any

from heirloom.prompts.near_duplicates import NearDuplicate, without_near_duplicates
from heirloom.prompts.rows import Row, read_rows
from heirloom.prompts.settings import Reading, Rows
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

logger = logging.getLogger(__name__)

# Soft hyphen, joiners, zero-width spaces, marks of direction, variation selectors, byte order mark.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_WAY_OUT = "Set `columns` of this prompt set in the study file."
_LISTED = 20
_ALL = Rows()


def read_source(path: str | Path, reading: Reading) -> list[Record]:
    """Read the prompts of a source as models are shown them, in the template of their set.

    Their ids are those of the prompts without it. Those that nearly repeat another are left out if
    the set says so.

    Raises:
        HeirloomError: See `read_prompts`.
    """
    prompts, _ = _read(path, reading)
    # str.replace and not str.format: prompts and templates may hold braces of their own.
    return [{**p, "text": reading.template.replace("{prompt}", p["text"])} for p in prompts]


def near_duplicates(path: str | Path, reading: Reading) -> list[NearDuplicate]:
    """Return the prompts of a source that `read_source` leaves out because they nearly repeat one.

    Raises:
        HeirloomError: See `read_prompts`.
    """
    return _read(path, reading)[1]


def _read(path: str | Path, reading: Reading) -> tuple[list[Record], list[NearDuplicate]]:
    """Prompts without template, and those that are left out as near-duplicates."""
    prompts = read_prompts(path, **reading.columns.model_dump(), rows=reading.rows)
    if reading.near_duplicates is None:
        return prompts, []
    return without_near_duplicates(prompts, reading.near_duplicates)


def read_prompts(
    path: str | Path,
    *,
    text: str,
    input: str | None = None,
    id: str | None = None,
    rows: Rows = _ALL,
) -> list[Record]:
    """Read the distinct prompts of a file.

    Args:
        path: A file that `heirloom.prompts.rows.read_rows` reads; a `.txt` has one prompt per line.
        text: Column with the prompt. A dot reaches into nested objects. A `.txt` has no columns:
            this, `input` and `id` are unused for it.
        input: Column with a second part, put below the first after an empty line.
        id: Column with a stable id. Without it the id is a hash of the text.
        rows: Rows to read.

    Returns:
        {"id", "text"}, in the order of the file, the text as it is written there. Empty prompts and
        repeated ones are left out and logged. Prompts that look the same are repeated: they differ
        only in their Unicode form or in invisible characters.

    Raises:
        HeirloomError: The file cannot be read, a row lacks a column, an id occurs twice, or no
            prompt is left.
    """
    path = Path(path)
    prompts: dict[str, Record] = {}
    seen: dict[str, Row] = {}  # prompt as it looks -> its first row
    n_empty, repeated, alike = 0, 0, list[str]()
    for row in _chosen(path, rows):
        prompt, looks = _prompt(row, text, input)
        if not looks:
            n_empty += 1
            continue
        first = seen.setdefault(looks, row)
        if first is not row:
            repeated += 1
            if _prompt(first, text, input)[0] != prompt:
                alike.append(f"{row.where} looks like {first.where}")
            continue
        digest = hashlib.sha256(prompt.encode()).hexdigest()[:12]
        key = digest if id is None or isinstance(row.values, str) else _id(row, id)
        if key in prompts:
            raise HeirloomError(
                f"{row.where}: the id {key!r} occurs twice. Ids must be distinct; leave "
                "`columns.id` out to number prompts by a hash of their text."
            )
        prompts[key] = {"id": key, "text": prompt}
    if n_empty or repeated:
        logger.warning("%s: left out %d empty and %d repeated prompts", path, n_empty, repeated)
    _list_alike(path, alike)
    if not prompts:
        raise HeirloomError(f"{path} has no prompt. Expected text in the column {text!r}.")
    return list(prompts.values())


def _chosen(path: Path, rows: Rows) -> list[Row]:
    found = read_rows(path)
    if found and rows.skip >= len(found):
        raise HeirloomError(
            f"{path} has {len(found)} rows, and `rows.skip` leaves out {rows.skip}: none is left."
        )
    return found[rows.skip :][: rows.take]


def _list_alike(path: Path, alike: list[str]) -> None:
    if alike:
        logger.warning(
            "%s: %d of the repeated prompts differ from the first only in their Unicode form or in "
            "invisible characters: %s%s",
            path,
            len(alike),
            "; ".join(alike[:_LISTED]),
            " ..." if len(alike) > _LISTED else "",
        )


def _prompt(row: Row, text: str, input: str | None) -> tuple[str, str]:
    """Return the prompt of a row as it is written, and as it looks."""
    columns = [text] if input is None else [text, input]
    own = isinstance(row.values, str)
    parts = [row.values] if own else [_cell(row, column) for column in columns]
    prompt = "\n\n".join(part.strip() for part in parts if part.strip())
    return prompt, unicodedata.normalize("NFC", _INVISIBLE.sub("", prompt)).strip()


def _id(row: Row, column: str) -> str:
    key = _cell(row, column)
    if not key.strip():
        raise HeirloomError(
            f"{row.where}: the id in the column {column!r} is empty. Give every prompt one, or "
            "leave `columns.id` out to number prompts by a hash of their text."
        )
    return key


def _cell(row: Row, column: str) -> str:
    """Return the text in one column of a row; null is the empty text."""
    value = row.values
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise HeirloomError(f"{row.where}: no column {column!r} {_there(row.values)}")
        value = value[part]
    if value is None or (isinstance(value, float) and value != value):  # pandas' null is nan
        return ""
    if _is_conversation(value):
        raise HeirloomError(f"{row.where}: {_no_conversations(column)}")
    if isinstance(value, list):
        raise HeirloomError(
            f"{row.where}: column {column!r} holds no text but a list of {len(value)}. A prompt is "
            f"one text: put it into a column of its own. {_WAY_OUT}"
        )
    if isinstance(value, dict | bytes):
        shown = f"an object with {', '.join(value)}" if isinstance(value, dict) else "bytes"
        raise HeirloomError(
            f"{row.where}: column {column!r} holds no text but {shown}. A dot reaches into nested "
            f"objects: `prompt.text`. {_WAY_OUT}"
        )
    return str(value)


def _there(values: Any) -> str:
    """Say which columns a row has instead, and the way out."""
    if not isinstance(values, dict):
        return f"(there are: none, it is no object). {_WAY_OUT}"
    told = f"(there are: {', '.join(map(str, values))}). "
    conversation = next((name for name, cell in values.items() if _is_conversation(cell)), None)
    return told + (_no_conversations(conversation) if conversation else _WAY_OUT)


def _is_conversation(value: Any) -> bool:
    """True for a list of turns: {"role", "content"}, or {"from", "value"} as ShareGPT has them."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and {"role", "from"} & set(turn) for turn in value)
    )


def _no_conversations(column: str) -> str:
    return (
        f"the column {column!r} holds conversations (lists of turns), which are not read as "
        "prompts yet. Put the turn to answer into a text column of its own, and name that one: "
        "`columns: {text: ...}`."
    )
