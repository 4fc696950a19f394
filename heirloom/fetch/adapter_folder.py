"""Folders of PEFT adapters: recognised, checked whole, and identified by what is loaded of them."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from heirloom.fetch.model_folder import INDEX, WEIGHTS
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
#: Files of a tokenizer, which an adapter may have of its own.
TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
# Where the base was when the adapter was saved: it may be elsewhere here.
_PLACE = ("base_model_name_or_path", "revision")


def is_adapter(names: Collection[str]) -> bool:
    """Tell from the names of its files if a folder is an adapter, and no whole model besides."""
    return ADAPTER_CONFIG in names and {WEIGHTS, INDEX}.isdisjoint(names)


def adapter_config(folder: Path) -> Record:
    """Return the configuration of an adapter.

    Raises:
        HeirloomError: It is missing or malformed.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    if not isinstance(config, dict):
        raise HeirloomError(f"{folder / ADAPTER_CONFIG} is no configuration of an adapter.")
    return config


def check_adapter(folder: Path, key: str) -> None:
    """Refuse what is not a LoRA adapter in PEFT's format, with its weights as safetensors.

    Args:
        folder: The folder that was fetched.
        key: Key of the model in the study file, for messages.

    Raises:
        HeirloomError: It says what the folder is, and the way out.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        raise HeirloomError(
            f"{key}.base: {folder} is no adapter, as it has no {ADAPTER_CONFIG}: leave `base` out "
            "for a whole model, or name the folder of a PEFT adapter in sources."
        )
    if not is_adapter([path.name for path in folder.iterdir()]):
        raise HeirloomError(
            f"{key}.base: {folder} holds a whole model and an adapter. Name a copy that has only "
            "one of them."
        )
    kind = adapter_config(folder).get("peft_type")
    if kind != "LORA":
        raise HeirloomError(
            f"{key}.sources: {folder} is an adapter of the type {kind}, and only LoRA is merged "
            "here. Merge it into its base yourself, if PEFT can (merge_and_unload), and name the "
            "folder that save_pretrained writes."
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise HeirloomError(
            f"{key}.sources: {folder} has no {ADAPTER_WEIGHTS}. Pickled weights are never loaded: "
            "save the adapter again with a current version of peft (save_pretrained)."
        )


def adapter_sha256(folder: Path) -> str:
    """Return the checksum of those files of an adapter that are loaded.

    The place that its base once had is left out, and so are cards and notes beside it.
    """
    config = {name: v for name, v in adapter_config(folder).items() if name not in _PLACE}
    files = [ADAPTER_WEIGHTS, *TOKENIZER_FILES]
    sums = {name: sha256(folder / name) for name in files if (folder / name).is_file()}
    identity = json.dumps([config, sums], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()
