"""Weights of a model: each that its configuration asks for must be in its files."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError

logger = logging.getLogger(__name__)
_LISTED = 5


def loading_report(folder: Path, *, trust_remote_code: bool = False) -> Mapping[str, Any]:
    """Return transformers' own report on loading a folder, without reading the weights.

    Only transformers knows how tensors are renamed, merged and tied on the way, and which may be
    absent.
    """
    from transformers import AutoModelForCausalLM

    _, report = AutoModelForCausalLM.from_pretrained(
        folder,
        device_map="meta",
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # in the report, instead of an exception without names
        local_files_only=True,
        trust_remote_code=trust_remote_code,
    )
    loaded: Mapping[str, Any] = report
    return loaded


def require_weights(report: Mapping[str, Any], place: str | Path) -> None:
    """Refuse a model that would be filled up with random weights.

    Args:
        report: Returned by `from_pretrained` with `output_loading_info`.
        place: The folder or file, for messages.

    Raises:
        HeirloomError: A tensor is missing, or has another shape than the configuration says.
    """
    problems = []
    missing = sorted(report["missing_keys"])
    if missing:
        problems.append(f"has no weights for {_named(missing)}")
    reshaped = [
        f"{name} ({_shape(found)} instead of {_shape(expected)})"
        for name, found, expected in sorted(report["mismatched_keys"])
    ]
    if reshaped:
        problems.append(f"has weights of another shape than configured: {_named(reshaped)}")
    if problems:
        raise HeirloomError(
            f"{place} {', and '.join(problems)}. Loaded so, they would be random: fetch the model "
            "again, whole, or correct its configuration."
        )
    unexpected = sorted(report["unexpected_keys"])
    if unexpected:
        logger.warning(
            "%s: weights that its configuration does not use: %s", place, _named(unexpected)
        )


def _named(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _shape(size: Any) -> str:
    return " x ".join(map(str, size)) or "one number"
