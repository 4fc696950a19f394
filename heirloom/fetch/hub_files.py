"""Files of a repository on the hub, and those of a model that are loaded: no others are."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from heirloom.fetch.settings import HubSource

# Of configuration, tokenizer, templates, code and licence; "" is the suffix of LICENSE. Weights,
# whole or in parts, in whatever format, have others.
_SUFFIXES = frozenset(
    {
        *("", ".json", ".txt", ".model", ".jinja", ".py", ".md"),
        *(".bpe", ".codes", ".spm", ".tiktoken", ".tokenizer", ".vocab"),
    }
)
_TEMPLATES = "additional_chat_templates"


def files_beside_weights(files: Iterable[str]) -> list[str]:
    """Return the files of a repository that a model needs besides its weights.

    Args:
        files: All files of the repository, by their paths in it.
    """
    return sorted(file for file in files if _is_needed(PurePosixPath(file)))


def _is_needed(file: PurePosixPath) -> bool:
    if file.name.startswith(".") or file.name.endswith(".index.json"):
        return False
    if len(file.parts) == 1:
        return file.suffix in _SUFFIXES
    # Modules of a model's own code; templates in a folder where the tokenizer looks for them.
    return file.suffix == ".py" or file.parts[0] == _TEMPLATES


def download_file(source: HubSource, file: str, content: Path) -> None:
    """Download one file of a repository to its path below a folder."""
    from huggingface_hub import hf_hub_download

    hf_hub_download(
        source.hub,
        file,
        repo_type=source.repo_type,
        revision=source.revision,
        local_dir=content,
    )
