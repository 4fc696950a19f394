"""Read and write JSON, JSON lines and checksums, so that a reader never meets half a file."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from heirloom.support.errors import HeirloomError

Record = dict[str, Any]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[TextIO]:
    """Open a text file that appears under `path` only if the block ends without an exception."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as error:
        raise HeirloomError(
            f"{path} could not be written: {error.strerror}. Nothing produced before is lost; "
            "free some space or fix the permissions and run the same command again."
        ) from error
    finally:
        with suppress(OSError):  # on a read-only file system it was never made
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` atomically."""
    with atomic_write(path) as handle:
        handle.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write one JSON document atomically, indented, keys in the order given. NaN is refused."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read one JSON document.

    Raises:
        HeirloomError: The file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HeirloomError(f"{path} does not exist.") from None
    except ValueError as error:
        raise HeirloomError(f"{path} is not valid JSON: {error}") from error


def write_jsonl(path: str | Path, records: Iterable[Record]) -> None:
    """Write one JSON object per line, atomically. NaN is refused: a missing value is null."""
    with atomic_write(path) as handle:
        for record in records:
            handle.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


class JsonLines(Iterable[Record]):
    """A file with one JSON object per line, read anew and line by line whenever it is iterated.

    However long the file is, it takes little memory. Blank lines are skipped.

    Raises, when it is iterated:
        HeirloomError: The file is missing, or a line is not a JSON object (its number is named).
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __iter__(self) -> Iterator[Record]:
        """Yield the records."""
        try:
            with self._path.open(encoding="utf-8") as handle:
                for number, line in enumerate(handle, start=1):
                    if not line.strip():
                        continue
                    where = f"{self._path}, line {number}"
                    try:
                        record = json.loads(line)
                    except ValueError as error:
                        raise HeirloomError(f"{where}: not valid JSON ({error})") from error
                    if not isinstance(record, dict):
                        raise HeirloomError(f"{where}: expected a JSON object")
                    yield record
        except FileNotFoundError:
            raise HeirloomError(f"{self._path} does not exist.") from None


def read_jsonl(path: str | Path) -> list[Record]:
    """Return the records of `JsonLines`, all at once."""
    return list(JsonLines(path))


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file's bytes; the copy appears whole, as a file made now.

    Raises:
        HeirloomError: `target` could not be written.
    """
    with Path(source).open("rb") as content, atomic_write(target) as handle:
        shutil.copyfileobj(content, handle.buffer)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
