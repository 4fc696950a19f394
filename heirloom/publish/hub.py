"""Push of a training set or a student to the Hugging Face hub, on request only."""

import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from heirloom.fetch.settings import HubSource, Source
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, sha256, write_json

log = logging.getLogger(__name__)

#: The files of a training set's repository.
DATASET_FILES = ("train.jsonl", "card.json", "README.md")
#: The files of a student's repository.
STUDENT_FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "manifest.json",
    "README.md",
)


def repository(namespace: str, study: str, name: str) -> str:
    """Name of a training set's or a student's repository on the hub."""
    return f"{namespace}/{study}-{name}"


def hub_base(sources: Iterable[Source]) -> HubSource | None:
    """Return the first of a model's sources that is on the hub; None if none is."""
    return next((source for source in sources if isinstance(source, HubSource)), None)


def push(
    folder: str | Path,
    record: str | Path,
    *,
    repository: str,
    kind: Literal["dataset", "model"],
    private: bool,
    base: Mapping[str, Any] | None = None,
) -> None:
    """Upload a training set or a student, and write a record of the upload.

    The access token is read from HF_TOKEN and written nowhere. An adapter's settings name the local
    folder of its base; in the repository they name the base on the hub.

    Args:
        folder: Folder of the training set or student. Only `DATASET_FILES` or `STUDENT_FILES` are
            uploaded.
        record: JSON file to write: the repository, address and id of the commit, and the SHA-256 of
            every file.
        repository: Name of the repository, from `repository`; it is created if it does not exist.
        kind: "dataset" for a training set, "model" for a student.
        private: Make a new repository private, and refuse an existing public one.
        base: For a student, "name" of its base, and "hub" and "revision" if it is on the hub.

    Raises:
        HeirloomError: There is no token, a file is missing, or the hub refused.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    # A client that cannot send the token as a header may quote it in its error.
    if not token or not (token.isascii() and token.isprintable()):
        raise HeirloomError(
            f"{repository} was not pushed: set HF_TOKEN to an access token of the hub that has "
            "write permission."
        )
    with tempfile.TemporaryDirectory() as staged:
        files = _stage(Path(folder), Path(staged), kind, base)
        try:
            address, commit = _upload(staged, repository, kind, private, token)
        except HeirloomError:
            raise
        except Exception as error:  # the client also raises errors of its HTTP library
            reason = " ".join(str(error).split()).replace(token, "***")
            # Without its cause: a traceback could show the token, in a header of the request.
            raise HeirloomError(
                f"{repository} could not be pushed to the hub: {type(error).__name__}: {reason}. "
                "Check that the token in HF_TOKEN has write permission there and run the same "
                "command again: files that are on the hub are not uploaded twice."
            ) from None
    log.info("%s", address)
    write_json(
        record,
        {
            "repository": repository,
            "kind": kind,
            "private": private,
            "commit_url": address,
            "commit": commit,
            "files": files,
        },
    )


def _stage(folder: Path, staged: Path, kind: str, base: Mapping[str, Any] | None) -> dict[str, str]:
    """Put the repository's files into `staged`; return the SHA-256 of each."""
    for name in DATASET_FILES if kind == "dataset" else STUDENT_FILES:
        if not (folder / name).is_file():
            raise HeirloomError(
                f"{folder / name} does not exist: run the study before you push it."
            )
        if name == "adapter_config.json":
            settings = read_json(folder / name)
            named = {
                "base_model_name_or_path": base and base.get("hub", base["name"]),
                "revision": base and base.get("revision"),
            }
            write_json(staged / name, {**settings, **named})
        else:
            (staged / name).symlink_to((folder / name).resolve())
    return {path.name: sha256(path) for path in sorted(staged.iterdir())}


def _upload(folder: str, repository: str, kind: str, private: bool, token: str) -> tuple[str, str]:
    """Upload a folder and return the address and id of the commit."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
    # The hub ignores `private` where the repository exists.
    if private and not api.repo_info(repository, repo_type=kind).private:
        raise HeirloomError(
            f"{repository} exists and is public, but publish.private is set: nothing was pushed. "
            "Make it private on the hub, or set publish.private: false."
        )
    commit = api.upload_folder(
        folder_path=folder,
        repo_id=repository,
        repo_type=kind,
        commit_message=f"{repository.partition('/')[2]}, made by heirloom",
    )
    return str(commit.commit_url), str(commit.oid)
