"""Fetch the artefacts of a study and note their locations in its results."""

from collections.abc import Callable, Sequence
from pathlib import Path

from heirloom.fetch.cache import cache_root, content_sha256
from heirloom.fetch.downloads import fetch
from heirloom.fetch.gguf import prepare_model
from heirloom.fetch.notes import Note, write_note
from heirloom.fetch.settings import Source


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


def fetch_model(
    name: str,
    sources: Sequence[Source],
    note: str | Path,
    *,
    trust_remote_code: bool = False,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Fetch a model, convert it to a folder of safetensors if necessary, and write its note.

    Args:
        name: Its name in the study.
        sources: Places that have it.
        note: File for the note.
        trust_remote_code: Allow the Python code of the model to run.
        check: Raises if the model in a folder cannot be used, before anything depends on it.

    Raises:
        HeirloomError: No source answered, it is no model, or the cache cannot be written.
    """
    artefact = fetch(sources, name=name, cache=cache_root())
    folder = prepare_model(
        artefact, name=name, cache=cache_root(), trust_remote_code=trust_remote_code
    )
    if check is not None:
        check(folder)
    write_note(note, Note(name, folder, content_sha256(artefact), trust_remote_code))
