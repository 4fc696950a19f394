"""Decompress and decode the files that people bring, and name the encoding where that fails."""

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError

# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LOOKED_AT = 4096
_SHARE_OF_NULLS = 0.4


def _zstandard(path: Path) -> Any:
    import pyarrow

    return pyarrow.input_stream(str(path), compression="zstd")


def _only_member(path: Path) -> Any:
    archive = zipfile.ZipFile(path)
    files = [name for name in archive.namelist() if not name.endswith("/")]
    if len(files) != 1:
        raise ValueError(f"the archive holds {len(files)} files, and one is expected")
    return archive.open(files[0])


_OPENERS: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _zstandard,
    ".zip": _only_member,
}
COMPRESSIONS = tuple(_OPENERS)


def read_bytes(path: Path) -> bytes:
    """Read a file, decompressed if its name ends as that of a compressed file.

    Raises:
        HeirloomError: It cannot be read or decompressed.
    """
    open_file = _OPENERS.get(path.suffix.lower())
    try:
        if open_file is None:
            return path.read_bytes()
        with open_file(path) as file:
            content: bytes = file.read()
            return content
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,  # a zip file with a password
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
    ) as error:
        raise HeirloomError(f"{path} cannot be read: {error}") from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 or UTF-32 that is recognised; see `read_bytes`.

    A byte order mark is no part of the text.

    Raises:
        HeirloomError: It cannot be read, or is in another encoding: the line is named.
    """
    content = read_bytes(path)
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    encoding = marked or _unmarked(content[:_LOOKED_AT])
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if not encoding.startswith("utf-8"):
            raise HeirloomError(
                f"{path}, line {line}: this is not {encoding.upper()}, as which the file begins "
                f"({error.reason}). Save it as UTF-8."
            ) from None
        raise HeirloomError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is not UTF-8. The file "
            "seems to be in another encoding; Windows programs often write Windows-1252 or "
            "UTF-16. Save it as UTF-8, or convert it, for example: "
            f"iconv -f WINDOWS-1252 -t UTF-8 '{path.name}' > 'utf8-{path.name}'"
        ) from None


def _unmarked(start: bytes) -> str:
    """Encoding of a file without a byte order mark.

    In UTF-16 every second byte of Latin text is null, from the first character on; a null character
    in UTF-8 is no such pattern.
    """
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        nulls, letters = start[first::2], start[1 - first :: 2]
        if (
            nulls[:2] == b"\0\0"
            and 0 not in letters[:2]
            and nulls.count(0) >= _SHARE_OF_NULLS * len(nulls)
        ):
            return encoding
    return "utf-8"
