"""The cache that studies and clones share: folders that are built once and verified."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256, write_json
from heirloom.support.locks import locked
from heirloom.support.result_store import ResultStore

CacheKind = Literal[
    "artefacts",
    "models",
    "graphs",
    "generations",
    "answers",
    "scores",
    "students",
    "profiles",
    "verdicts",
    "harness",
]
MANIFEST = "manifest.json"
# Errors for which trying another source is useless: the cache itself cannot be written.
CACHE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
)


def cache_root() -> Path:
    """Return the folder that studies share: $HEIRLOOM_CACHE, or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("HEIRLOOM_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("heirloom", appauthor=False)


def cache_path(kind: CacheKind, *name: str, root: str | Path | None = None) -> Path:
    """Path of an entry of the cache, or of the folder for one kind of them.

    Args:
        kind: Kind of the entry.
        name: Name of the entry, derived from everything that determines it.
        root: Folder of the cache; None: `cache_root()`.
    """
    return Path(root or cache_root(), kind, *name)


def result_store(kind: Literal["scores", "students", "profiles", "verdicts"]) -> ResultStore:
    """Return the store of one kind of results; nothing is kept if $HEIRLOOM_REUSE is `no`."""
    reuse = os.environ.get("HEIRLOOM_REUSE", "yes")
    if reuse not in ("yes", "no"):
        raise HeirloomError(f"HEIRLOOM_REUSE is {reuse!r}: set it to yes or no, or not at all.")
    return ResultStore(cache_path(kind) if reuse == "yes" else None)


def content_sha256(path: Path) -> str:
    """Return the checksum of a file, or of a folder's files and their names.

    A folder's is the SHA-256 of the lines that `sha256sum` prints for its files, sorted by path.
    """
    if path.is_file():
        return sha256(path)
    names = sorted(
        found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()
    )
    lines = "".join(f"{sha256(path / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def git_blob(path: Path) -> str:
    """Return the id that git gives a file's content: SHA-1 of "blob <size>", a null, the content.

    Source: "Git Internals - Git Objects" in Pro Git.
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def build_once(location: Path, build: Callable[[Path], Record]) -> Record:
    """Fill a folder once, even if other processes try at the same time.

    The folder appears, manifest included, when it is complete; it never appears if `build` raises.

    Args:
        location: The folder.
        build: Fills the empty folder that it is given, and returns the manifest.

    Returns:
        The manifest, just built or found.

    Raises:
        HeirloomError: The disk is full, or the folder cannot be written.
    """
    manifest = read_manifest(location)
    if manifest is not None:  # also where the cache cannot be written
        return manifest
    partial = location.with_name(f".{location.name}.partial")
    with _cache_written(location.parent):
        location.parent.mkdir(parents=True, exist_ok=True)
        lock = location.with_name(f".{location.name}.lock")
        with locked(lock, purpose=f"preparing {location}"):
            manifest = read_manifest(location)
            if manifest is not None:
                return manifest
            # Left by a process that was killed: nobody else can be in there, the lock is ours.
            for stale in (partial, location):
                if stale.exists():
                    shutil.rmtree(stale)
            partial.mkdir()
            try:
                manifest = build(partial)
                write_json(partial / MANIFEST, manifest)
                partial.rename(location)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return manifest


def read_manifest(location: Path) -> Record | None:
    """Return the manifest of a complete folder; None if it is not there yet."""
    path = location / MANIFEST
    if not path.is_file():
        return None
    manifest: Record = read_json(path)
    return manifest


@contextmanager
def _cache_written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in CACHE_ERRORS:
            raise
        raise HeirloomError(
            f"{folder} could not be written: {error.strerror}. Free some space, fix the "
            "permissions, or point HEIRLOOM_CACHE at another folder."
        ) from error
