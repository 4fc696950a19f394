"""Models that are an adapter of another model: merged once, when they are fetched.

Every later stage sees an ordinary model.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from heirloom.fetch.adapter_folder import adapter_sha256, check_adapter
from heirloom.fetch.artefacts import Check, fetch_model
from heirloom.fetch.cache import build_once, cache_path, cache_root
from heirloom.fetch.downloads import fetch
from heirloom.fetch.notes import Note, locate, trusts_code, write_note
from heirloom.fetch.settings import Source
from heirloom.generate.merge import save_merged
from heirloom.generate.model_checks import quantization
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json

logger = logging.getLogger(__name__)


def fetch_whole(
    name: str,
    sources: Sequence[Source],
    note: str | Path,
    base_note: Sequence[str | Path],
    check: Check,
) -> None:
    """Fetch a model, or an adapter if there is a note on its base; see `fetch_adapter`."""
    if base_note:
        fetch_adapter(name, sources, note, base_note[0], check)
    else:
        fetch_model(name, sources, note, check)


def fetch_adapter(
    name: str, sources: Sequence[Source], note: str | Path, base_note: str | Path, check: Check
) -> None:
    """Fetch an adapter, merge it into its base in the cache, and write the note on the whole.

    The merged model is kept under a name that stands for the contents of both.

    Args:
        name: Name of the model in the study.
        sources: Places that have the adapter.
        note: File for the note.
        base_note: Note on the base.
        check: Refuses the merged model if no job could use it.

    Raises:
        HeirloomError: No source answered, it is no LoRA adapter, it does not fit the base, or the
            cache cannot be written.
    """
    cache, key = cache_root(), f"models.{name}"
    adapter = fetch(sources, name=name, cache=cache)
    check_adapter(adapter, key)
    base, described = locate(base_note), read_json(base_note)
    _require_mergeable(base, f"{key}.base: {described['name']}", code=trusts_code(base_note))
    parts = {"adapter": adapter_sha256(adapter), "base": described["sha256"]}
    checksum = hashlib.sha256(f"{parts['adapter']} {parts['base']}".encode()).hexdigest()

    def build(folder: Path) -> Record:
        logger.info("%s: merging %s into %s, once", name, adapter, base)
        try:
            n_parameters = save_merged(base, adapter, folder)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # PEFT, torch and transformers each raise their own
            words = " ".join(str(error).split())[:400]
            raise HeirloomError(
                f"{key}: the adapter in {adapter} does not fit its base, {described['name']} "
                f"({base}): {words} Name the model that it was trained on under {key}.base."
            ) from error
        return {
            "name": name,
            "sha256": checksum,
            "parts": parts,
            "n_parameters": n_parameters,
            "versions": {package: version(package) for package in ("peft", "transformers")},
            "merged": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    location = cache_path("models", f"{name}-{checksum[:12]}-merged", root=cache)
    build_once(location, build)
    check(location)
    write_note(note, Note(name, location, checksum))


def _require_mergeable(base: Path, key: str, *, code: bool) -> None:
    """Refuse a base whose weights, or whose code, cannot be saved with an adapter in them."""
    method = quantization(base)
    if method:
        raise HeirloomError(
            f"{key} is quantised ({method}), and an adapter is merged into weights in their "
            "original precision: name that model as the base."
        )
    if code:
        raise HeirloomError(
            f"{key} runs code of its own (trust_remote_code), which a merged model would lack. "
            "Merge the adapter yourself and add the code to the folder."
        )
