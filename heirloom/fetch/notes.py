"""Notes in the results that say which artefact a study uses and where in the cache it is."""

import logging
from pathlib import Path

from heirloom.fetch.cache import cache_root
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_json

log = logging.getLogger(__name__)


def write_note(
    note: str | Path, *, name: str, location: Path, checksum: str, trust_remote_code: bool = False
) -> None:
    """Note in a study's results which artefact it uses and where that is.

    A place in the cache is noted relative to it, so that the note reads the same on every machine.
    So is that the study trusts the code of a model, if it does.
    """
    cache = cache_root().resolve()
    location = location.resolve()
    if location.is_relative_to(cache):
        location = location.relative_to(cache)
    trusted = {"trust_remote_code": True} if trust_remote_code else {}
    write_json(note, {"name": name, "location": str(location), "sha256": checksum, **trusted})


def locate(note: str | Path) -> Path:
    """Where the artefact is that a note speaks of.

    A model behind an endpoint is nowhere but in its note, which is then what is returned.

    Raises:
        HeirloomError: it is not there any more.
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


def trusts_code(note: str | Path) -> bool:
    """Whether the study says that the code of the model that a note speaks of may run."""
    return bool(read_json(note).get("trust_remote_code", False))
