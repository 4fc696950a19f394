"""Fetch the artefacts of a study and note their locations in its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from heirloom.fetch.cache import cache_root, content_sha256
from heirloom.fetch.downloads import fetch
from heirloom.fetch.gguf import prepare_model
from heirloom.fetch.notes import Note, write_note
from heirloom.fetch.settings import Source


class Check(Protocol):
    """A check of a model's folder."""

    @property
    def trust_remote_code(self) -> bool:
        """True if Python code in the folder may run."""

    def __call__(self, folder: Path) -> None:
        """Raise a HeirloomError if no job could use the model."""


def fetch_file(name: str, sources: Sequence[Source], note: str | Path) -> None:
    """Fetch a data file and write its note.

    Args:
        name: Its name in the study.
        sources: Places that have it.
        note: File for the note.

    Raises:
        HeirloomError: No source answered, or the cache cannot be written.
    """
    file = fetch(sources, name=name, cache=cache_root())
    write_note(note, Note(name, file, content_sha256(file)))


def fetch_model(name: str, sources: Sequence[Source], note: str | Path, check: Check) -> None:
    """Fetch a model, convert it to a folder of safetensors if necessary, and write its note.

    Args:
        name: Its name in the study.
        sources: Places that have it.
        note: File for the note.
        check: Refuses the model's folder if no job could use it.

    Raises:
        HeirloomError: No source answered, it is no model or fails the check, or the cache cannot be
            written.
    """
    trusted = check.trust_remote_code
    artefact = fetch(sources, name=name, cache=cache_root())
    folder = prepare_model(artefact, name=name, cache=cache_root(), trust_remote_code=trusted)
    check(folder)
    write_note(note, Note(name, folder, content_sha256(artefact), trusted))
