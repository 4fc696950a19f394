"""Work folders: parts or checkpoints saved as files, from which a killed job resumes."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from heirloom.support.files import write_text
from heirloom.support.locks import locked


def fingerprint(identity: Any) -> str:
    """Return the SHA-256 of a value in its JSON form, the same in every process."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@contextmanager
def claimed(work: Path, identity: Any, *, share: str = "all") -> Iterator[None]:
    """Lock a folder, which is emptied unless its files were made for this `identity`.

    Args:
        work: The folder; made if need be.
        identity: Everything that determines the contents of the files, as JSON.
        share: Name of the share of the files that this job makes. Jobs with different shares may
            lock the folder at the same time.
    """
    with suppress(OSError):  # what is there may be all that is needed
        work.parent.mkdir(parents=True, exist_ok=True)
    # A job ends with the Snakemake that started it, unless something stands between the two, such
    # as a shell or a batch system. The next run's job then waits here for the one that was left.
    with locked(work.with_name(f"{work.name}.{share}.lock"), purpose="doing the same"):
        with locked(work.with_name(f"{work.name}.lock")):
            digest = fingerprint(identity)
            marker = work / "request.sha256"
            if not marker.exists() or marker.read_text() != digest:
                # An empty folder stays: without locks, another job may be about to mark it.
                if work.exists() and any(work.iterdir()):
                    shutil.rmtree(work, ignore_errors=True)
                write_text(marker, digest)
        yield
