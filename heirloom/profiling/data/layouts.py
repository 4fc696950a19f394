"""Check the rows of benchmarks' files against their layouts, and read what is no table."""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError

from heirloom.prompts.encoding import read_text
from heirloom.prompts.rows import Row
from heirloom.support.errors import HeirloomError


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


def read_document(path: str | Path) -> Any:
    """Read a file that is one JSON document, also compressed.

    Raises:
        HeirloomError: The file cannot be read or is not JSON.
    """
    try:
        return json.loads(read_text(Path(path)))
    except (ValueError, RecursionError) as error:
        raise HeirloomError(f"{path} cannot be read as JSON: {error}") from error
