"""Merge a LoRA adapter into its base: in memory, or into a folder that is an ordinary model."""

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

from heirloom.fetch.adapter_folder import ADAPTER_WEIGHTS, TOKENIZER_FILES
from heirloom.fetch.hub_files import files_beside_weights
from heirloom.fetch.weights import require_weights
from heirloom.support.errors import HeirloomError

logger = logging.getLogger(__name__)
# Files of a base that do not describe the merged model.
_NOT_COPIED = ("config.json", "generation_config.json", "manifest.json", "README.md")


def merge(network: Any, adapter: str | Path) -> Any:
    """Merge an adapter, all of whose weights are used and there.

    Weights that several layers share may not bear it.

    Args:
        network: The base, in float32.
        adapter: Folder of the adapter.

    Raises:
        HeirloomError: Merged, the model computes something else, or the adapter has weights for
            layers that the base does not have.
    """
    import torch
    from peft import PeftModel

    from heirloom.generate.shortcuts import alike, plain_logits, short_texts

    _, text = short_texts(network)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        adapted = PeftModel.from_pretrained(network, adapter).eval()
    _require_used(adapted, Path(adapter))
    exact = plain_logits(adapted, text)
    merged = adapted.merge_and_unload()
    if torch.isfinite(exact).all() and not alike(plain_logits(merged, text), exact):
        raise HeirloomError(
            f"its adapter cannot be merged into its base ({type(merged).__name__}): "
            "the merged student computes something else. Choose another base."
        )
    return merged


def rounded(network: Any, dtype: Any) -> Any:
    """Round the weights of a model to a number format, as loading it in that format does.

    Buffers that are computed and not stored stay as they are: rotary frequencies in bfloat16 would
    turn each position by another angle than those of the base, whose frequencies are in float32.

    Args:
        network: The model; it is changed.
        dtype: Number format of torch.

    Returns:
        The model.
    """
    for module in network.modules():
        computed = module._non_persistent_buffers_set
        stored = {name: b for name, b in module._buffers.items() if name not in computed}
        for tensor in (*module.parameters(recurse=False), *stored.values()):
            if tensor is not None and tensor.is_floating_point():
                tensor.data = tensor.data.to(dtype)
    return network


def _require_used(adapted: Any, adapter: Path) -> None:
    """Refuse an adapter with weights that PEFT has passed over without a word."""
    from safetensors import safe_open

    known = {_plain(name) for name in adapted.state_dict()}
    with safe_open(adapter / ADAPTER_WEIGHTS, framework="numpy") as opened:
        unused = sorted(name for name in set(opened.keys()) if _plain(name) not in known)
    if unused:
        raise HeirloomError(
            f"its adapter has weights for layers that the base does not have ({unused[0]} and "
            f"{len(unused) - 1} more): it was trained on another model."
        )


def _plain(name: str) -> str:
    """Return the name of a weight without what PEFT's wrappers, which may be nested, add to it."""
    for part in (".default", ".modules_to_save", ".base_layer"):
        name = name.replace(part, "")
    return name


def save_merged(base: Path, adapter: Path, folder: Path) -> int:
    """Write base and adapter as one model, in the number format that the base is stored in.

    The adapter is merged in float32 and the sum rounded once. Files beside the weights are those of
    the base, but for a tokenizer that the adapter has of its own. What was written is loaded again.

    Args:
        base: Folder of the base.
        adapter: Folder of a LoRA adapter.
        folder: Folder to write to.

    Returns:
        The number of parameters.

    Raises:
        HeirloomError: The two do not fit, or what was written computes something else.
    """
    from transformers import AutoModelForCausalLM

    from heirloom.generate.shortcuts import alike, plain_logits, short_texts

    options = {"dtype": "auto", "local_files_only": True}
    network, report = AutoModelForCausalLM.from_pretrained(
        base,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **options,
    )
    require_weights(report, base)
    stored = network.dtype
    merged = rounded(merge(network.eval().float(), adapter), stored)
    folder.mkdir(parents=True, exist_ok=True)
    merged.save_pretrained(folder)
    _copy_beside_weights(base, adapter, folder)
    _, text = short_texts(merged)
    written = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **options).eval()
    if not alike(plain_logits(written, text), plain_logits(merged, text)):
        raise HeirloomError(
            f"{base} with the adapter in {adapter} cannot be saved as one model: loaded again, it "
            "computes something else. Weights that the base ties were changed apart."
        )
    return int(merged.num_parameters())


def _copy_beside_weights(base: Path, adapter: Path, folder: Path) -> None:
    names = [path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()]
    found = {name: base / name for name in files_beside_weights(names) if name not in _NOT_COPIED}
    if (adapter / "tokenizer_config.json").is_file():
        found = {name: file for name, file in found.items() if name not in TOKENIZER_FILES}
        found |= {n: adapter / n for n in TOKENIZER_FILES if (adapter / n).is_file()}
    for name, file in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    mode = (folder / "tokenizer_config.json").stat().st_mode
    for weights in folder.glob("*.safetensors"):
        weights.chmod(mode)  # safetensors lets only the owner read; others may share a cache
