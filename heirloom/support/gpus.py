"""Give each job on a machine without a batch system GPUs of its own.

Snakemake limits how many jobs with a GPU run at once, but does not assign GPUs to them. A job
claims a GPU by locking a file; the kernel releases the lock when the job ends, however it ends.

Imports nothing heavy: CUDA_VISIBLE_DEVICES has to be set before torch looks at it.
"""

import fcntl
import logging
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TextIO

from heirloom.support.errors import HeirloomError

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
_held: list[TextIO] = []  # open as long as this process runs


def claim_gpus(count: int, *, locks: Path | None = None) -> None:
    """Show this process `count` GPUs that no other job has claimed; wait until there are enough.

    If a batch system or a user already shows this process exactly as many, nothing is claimed.

    Args:
        count: Number of GPUs; 0: nothing is done.
        locks: Folder of the locks, one that all jobs of this machine share. Left out: one of this
            user's in the folder for temporary files.

    Raises:
        HeirloomError: There are not so many GPUs.
    """
    visible = _visible() if count else []
    if count == 0 or (VISIBLE in os.environ and len(visible) == count):
        return
    if len(visible) < count:
        raise HeirloomError(
            f"this job needs {count} GPUs, but {len(visible)} can be used here "
            f"({', '.join(visible) or 'none'}). Put what there is into the profile: gpu of its "
            "resources, and gpu_memory_mb of its default-resources."
        )
    folder = locks or Path(tempfile.gettempdir()) / f"heirloom-gpus-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    while len(own := _try_to_claim(visible, count, folder)) < count:
        logger.info("waiting for %d of the GPUs %s", count, ", ".join(visible))
        time.sleep(1)
    os.environ[VISIBLE] = ",".join(own)
    logger.info("on GPU %s", os.environ[VISIBLE])


def _visible() -> list[str]:
    """Return the GPUs that this process may use, as CUDA names them."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return re.findall(r"^GPU \d+:.*\(UUID: (.*)\)$", listed.stdout, re.MULTILINE)


def _try_to_claim(visible: list[str], count: int, folder: Path) -> list[str]:
    """Claim `count` of the GPUs, or none if fewer are free."""
    # One job at a time chooses: two that each hold some would wait for each other.
    with (folder / "choosing.lock").open("w") as choosing:
        fcntl.flock(choosing, fcntl.LOCK_EX)
        claimed: dict[str, TextIO] = {}
        for name in visible:
            lock: TextIO = (folder / f"{name}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            claimed[name] = lock
            if len(claimed) == count:
                _held.extend(claimed.values())
                return list(claimed)
        for lock in claimed.values():
            lock.close()
        return []
