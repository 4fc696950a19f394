"""Notes in the results: the artefacts that a study uses, and their locations in the cache."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heirloom.fetch.cache import cache_root
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_json


@dataclass(frozen=True)
class Note:
    """One artefact of a study.

    Attributes:
        name: Its name in the study.
        location: File or folder. A place in the cache is noted relative to it, so that the note
            reads the same on every machine.
        sha256: Checksum of what was fetched, see `heirloom.fetch.cache.content_sha256`.
        trust_remote_code: True if the study allows the code of the model to run.
    """

    name: str
    location: Path
    sha256: str
    trust_remote_code: bool = False


def write_note(file: str | Path, note: Note) -> None:
    """Write a note."""
    cache = cache_root().resolve()
    location = note.location.resolve()
    if location.is_relative_to(cache):
        location = location.relative_to(cache)
    trusted = {"trust_remote_code": True} if note.trust_remote_code else {}
    write_json(
        file, {"name": note.name, "location": str(location), "sha256": note.sha256, **trusted}
    )


def by_name(notes: Iterable[str | Path]) -> dict[str, str | Path]:
    """Return notes by the name of the artefact that each describes."""
    return {read_json(note)["name"]: note for note in notes}


def locate(note: str | Path) -> Path:
    """Return the path of the artefact that a note describes.

    A model behind an endpoint has no files: the path of its note is returned.

    Raises:
        HeirloomError: It is not there any more.
    """
    described = read_json(note)
    if "endpoint" in described:
        return Path(note)
    location = cache_root() / str(described["location"])
    if not location.exists():
        raise HeirloomError(
            f"{location} is gone, which {note} refers to. Run the same command again: it is then "
            "fetched anew."
        )
    return location


def fetched(note: str | Path) -> Path | None:
    """Return the path of the artefact that a note describes; None where it is not, or no longer."""
    if not Path(note).exists():
        return None
    try:
        return locate(note)
    except HeirloomError:
        return None


def trusts_code(note: str | Path) -> bool:
    """Return True if the study allows the code of the noted model to run."""
    return bool(read_json(note).get("trust_remote_code", False))
