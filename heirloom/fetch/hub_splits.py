"""Download a split of a data set on the hub by its name."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from heirloom.fetch.hub_files import download_file
from heirloom.fetch.settings import HubSource
from heirloom.support.errors import HeirloomError

_SPLIT = "split.parquet"
# Modules of `datasets` that read files: those not needed for it here, and those that guess types.
_READ_AS_FILES = frozenset({"arrow", "csv", "json", "parquet", "text"})
_UNTYPED = frozenset({"csv", "json", "text"})
_NO_OPTIONS = frozenset(
    {"name", "version", "description", "data_dir", "data_files", "features", "sep", "delimiter"}
)


def download_split(source: HubSource, content: Path, scratch: Path) -> str:
    """Download the files of a split, which the `datasets` library finds by the data set's card.

    They are kept as they are, and read as if the study file named them: the library's own readers
    guess types, and make numbers of texts such as 007. The library reads what cannot be downloaded
    as files: a part of a split, other formats, and files for which the card sets options. Then one
    Parquet file is stored.

    Args:
        source: The data set, with the name of a split.
        content: Folder for the files.
        scratch: Folder for temporary files.

    Returns:
        The path of the split in `content`: a file, or "." if there are several.

    Raises:
        HeirloomError: There is no such split, or types would be guessed of a part of one.
    """
    import datasets

    datasets.disable_progress_bars()
    builder = datasets.load_dataset_builder(
        source.hub, source.config, revision=source.revision, cache_dir=str(scratch)
    )
    kind = type(builder).__module__.rpartition(".")[2]  # its class bears the data set's name
    splits = {str(name): files for name, files in (builder.config.data_files or {}).items()}
    name = str(source.split)
    whole = name.partition("[")[0]
    if splits and whole not in splits:
        raise HeirloomError(f"it has no split {whole!r}; there are {', '.join(splits)}")
    if kind in _READ_AS_FILES and name in splits and not _options(builder.config):
        files = [_file(source, str(address)) for address in splits[name]]
        for repository, file in files:
            download_file(repository, file, content)
        return files[0][1] if len(files) == 1 else "."
    if kind in _UNTYPED and name not in splits:
        raise HeirloomError(
            f"{name} is a part of a split in .{kind} files, whose types would be guessed. Name the "
            f"whole split, {whole}; of prompts, `rows` reads a part"
        )
    if kind == "csv":  # the text "NA" is no missing value
        builder.config.keep_default_na, builder.config.na_values = False, [""]
    builder.download_and_prepare()
    builder.as_dataset(split=name).to_parquet(str(content / _SPLIT))
    return _SPLIT


def _options(config: Any) -> set[str]:
    """Return the options of a builder that are set and decide how its files are read.

    Separators are not among them: `heirloom.prompts.rows` recognises them by a table's header.
    """
    usual = vars(type(config)())
    return {
        name
        for name, value in vars(config).items()
        if name not in _NO_OPTIONS and value != usual.get(name)
    }


def _file(source: HubSource, address: str) -> tuple[HubSource, str]:
    """Take a file's address apart, which is hf://datasets/{repository}@{commit}/{file}."""
    found = re.fullmatch(r"hf://datasets/([^@]+)@([^/]+)/(.+)", address)
    if found is None:
        raise HeirloomError(f"{address} is no file of a repository")
    repository, revision, file = found.groups()
    return source.model_copy(update={"hub": repository, "revision": unquote(revision)}), file
