"""Locks on files that jobs share, on whatever file system these lie.

The kernel drops a lock when its process ends, however it ends. Where there are no locks (some
network and container file systems), or the files cannot be written (a read-only cache, another
user's), the block runs without one: what it has to write then fails with a message of its own.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from heirloom.support.errors import HeirloomError

logger = logging.getLogger(__name__)

_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_warned: set[Path] = set()


@contextmanager
def locked(path: Path, *, purpose: str = "") -> Iterator[bool]:
    """Hold a lock for the length of a block; wait for it.

    Args:
        path: The file to lock; made if need be, its folder must be there.
        purpose: Activity of another process that holds it, for the log.

    Yields:
        True if the lock is held.
    """
    lock = FileLock(path, fallback_to_soft=False)
    try:
        held = _acquire(lock, path, purpose)
    except OSError as error:
        if error.errno not in _UNSUPPORTED | _READ_ONLY | {errno.ENOENT}:
            raise
        held = False
        if error.errno in _UNSUPPORTED and path.parent not in _warned:
            _warned.add(path.parent)
            logger.warning(
                "%s is on a file system without locks (%s): run one study at a time with it",
                *(path.parent, error.strerror),
            )
    try:
        yield held
    finally:
        if held:
            lock.release()


def _acquire(lock: FileLock, path: Path, purpose: str) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if purpose:
            logger.info("waiting for another process that is %s", purpose)
        lock.acquire()
    return True


def require_writable(folder: Path) -> None:
    """Make a folder, and check that files can be written to it.

    Raises:
        HeirloomError: They cannot.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise HeirloomError(
            f"{folder} could not be written: {error.strerror}. Free some space, fix the "
            "permissions, or point HEIRLOOM_CACHE at another folder."
        ) from error
