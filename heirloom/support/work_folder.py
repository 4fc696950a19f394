"""Work folders: batches or checkpoints kept as files, so that a killed job goes on from them."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from heirloom.support.files import write_text


def fingerprint(identity: Any) -> str:
    """The SHA-256 of anything that can be written as JSON, the same in every process."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@contextmanager
def claimed(work: Path, identity: Any, *, share: str = "all") -> Iterator[None]:
    """Hold the folder `work`, emptied unless what it holds was made for this very `identity`.

    Args:
        work: The folder; made if need be.
        identity: Everything that decides what the files contain, as JSON.
        share: Which of the files. Jobs with different shares hold one folder together.
    """
    work.parent.mkdir(parents=True, exist_ok=True)
    # A job ends with the Snakemake that started it, unless something stands between the two, such
    # as a shell or a batch system. The next run's job then waits here for the one that was left.
    with FileLock(work.with_name(f"{work.name}.{share}.lock")):
        with FileLock(work.with_name(f"{work.name}.lock")):
            digest = fingerprint(identity)
            marker = work / "request.sha256"
            if not marker.exists() or marker.read_text() != digest:
                shutil.rmtree(work, ignore_errors=True)
                write_text(marker, digest)
        yield
