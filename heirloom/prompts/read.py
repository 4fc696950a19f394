"""Read prompts from the formats that instruction data comes in."""

import hashlib
import logging
from pathlib import Path

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.row_files import Row, read_rows

logger = logging.getLogger(__name__)


def read_prompts(
    path: str | Path, *, text: str, input: str | None = None, id: str | None = None
) -> list[Record]:
    """Read the distinct prompts of a file.

    Args:
        path: A file that `heirloom.support.row_files.read_rows` reads; a `.txt` has one prompt per
            line.
        text: Column with the prompt. A dot reaches into nested objects. A `.txt` has no columns:
            this, `input` and `id` are unused for it.
        input: Column with a second part, put below the first after an empty line.
        id: Column with a stable id. Without it the id is a hash of the text.

    Returns:
        {"id", "text"}, in the order of the file. Empty prompts and repeated ones are left out and
        their number is logged.

    Raises:
        HeirloomError: The file cannot be read, a row lacks a column, an id occurs twice, or no
            prompt is left.
    """
    path = Path(path)
    prompts: dict[str, Record] = {}
    texts: dict[str, str] = {}  # text -> id of the first prompt with it
    n_empty = n_repeated = 0
    plain = ".txt" in path.suffixes
    for row in read_rows(path):
        columns = [text] if input is None else [text, input]
        parts = [row.values] if plain else [_cell(row, column) for column in columns]
        prompt = "\n\n".join(part.strip() for part in parts if part.strip())
        if not prompt:
            n_empty += 1
            continue
        if prompt in texts:
            n_repeated += 1
            continue
        digest = hashlib.sha256(prompt.encode()).hexdigest()[:12]
        key = digest if plain or id is None else _cell(row, id)
        if key in prompts:
            raise HeirloomError(
                f"{row.where}: the id {key!r} occurs twice. Ids must be distinct; leave "
                "`columns.id` out to number prompts by a hash of their text."
            )
        texts[prompt] = key
        prompts[key] = {"id": key, "text": prompt}
    if n_empty or n_repeated:
        logger.warning("%s: left out %d empty and %d repeated prompts", path, n_empty, n_repeated)
    if not prompts:
        raise HeirloomError(f"{path} has no prompt. Expected text in the column {text!r}.")
    return list(prompts.values())


def _cell(row: Row, column: str) -> str:
    """Return the text in one column of a row; null is the empty text."""
    value = row.values
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            known = (
                ", ".join(row.values) if isinstance(row.values, dict) else "none, it is no object"
            )
            raise HeirloomError(
                f"{row.where}: no column {column!r} (there are: {known}). Set `columns` of this "
                "prompt set in the study file."
            )
        value = value[part]
    if value is None or (isinstance(value, float) and value != value):  # pandas' null is nan
        return ""
    if not isinstance(value, str | int | float):
        raise HeirloomError(
            f"{row.where}: column {column!r} holds no text but {str(value)[:60]}. A dot reaches "
            "into nested objects: `prompt.text`. Set `columns` of this prompt set in the study "
            "file."
        )
    return str(value)
