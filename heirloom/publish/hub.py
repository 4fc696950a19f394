"""Push a training set or a student to the Hugging Face hub, on request only."""

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256, write_json

log = logging.getLogger(__name__)

#: What a repository holds, and nothing else.
DATASET_FILES = ("train.jsonl", "card.json", "README.md")
STUDENT_FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "manifest.json",
    "README.md",
)


def repository(namespace: str, study: str, name: str) -> str:
    """What a training set's or a student's repository on the hub is called."""
    return f"{namespace}/{study}-{name}"


def hub_base(sources: list[Record]) -> Record | None:
    """The first of a model's sources that is on the hub: its "hub", "revision" and "files"."""
    return next((source for source in sources if "hub" in source), None)


def push(
    folder: str | Path,
    *,
    repository: str,
    kind: Literal["dataset", "model"],
    private: bool,
    base: Mapping[str, Any] | None = None,
) -> Record:
    """Upload a training set or a student.

    The token comes from the environment, HF_TOKEN, and is written nowhere. An adapter's settings
    name the folder of its base on this machine: in the repository, they name the base on the hub.

    Args:
        folder: what a stage wrote; files beside those of `DATASET_FILES` or `STUDENT_FILES` stay.
        repository: as `repository` names it; made if it is not there.
        kind: a training set is a "dataset", a student a "model".
        private: whether a new repository is private. An existing one that is not is refused.
        base: of a student, its base's name and, as `hub_base` gives them, "hub" and "revision".

    Returns:
        Repository, address and id of the commit, and the checksum of every file.

    Raises:
        HeirloomError: there is no token, a file is missing, or the hub refused.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    # A client that cannot send what is there as a header may quote it in its error.
    if not token or not (token.isascii() and token.isprintable()):
        raise HeirloomError(
            f"{repository} was not pushed: set HF_TOKEN to an access token of the hub that may "
            "write there."
        )
    with tempfile.TemporaryDirectory() as staged:
        files = _stage(Path(folder), Path(staged), kind, base)
        try:
            address, commit = _upload(staged, repository, kind, private, token)
        except HeirloomError:
            raise
        except Exception as error:  # the client raises those of its HTTP library as well
            reason = " ".join(str(error).split()).replace(token, "***")
            # Without its cause: a traceback could show the token, in a header of the request.
            raise HeirloomError(
                f"{repository} could not be pushed to the hub: {type(error).__name__}: {reason}. "
                "Does the token in HF_TOKEN have the right to write there? Run the same command "
                "again: what was uploaded is not uploaded twice."
            ) from None
    log.info("%s", address)
    return {
        "repository": repository,
        "kind": kind,
        "private": private,
        "commit_url": address,
        "commit": commit,
        "files": files,
    }


def _stage(folder: Path, staged: Path, kind: str, base: Mapping[str, Any] | None) -> dict[str, str]:
    """Put into `staged` what the repository will hold; return the checksum of each file."""
    for name in DATASET_FILES if kind == "dataset" else STUDENT_FILES:
        if not (folder / name).is_file():
            raise HeirloomError(f"{folder / name} does not exist: there is nothing to push yet.")
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
    """Address and id of the commit."""
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
