"""Weights of a base that a training method reaches, and those that it leaves as they are."""

import re
from collections.abc import Iterable
from typing import Any

from heirloom.support.files import Record


def adapted_weights(model: Any) -> Record:
    """Describe the part of a base that is trained, for manifest and card.

    An adapter reaches layers, not bare parameters: of a mixture of experts whose experts are one
    tensor, such as gpt-oss, it changes the attention alone.

    Args:
        model: The model to train, as its method has made it.

    Returns:
        `modules` that are trained or have an adapter, and matrices that are `unreached` apart from
        embeddings and head, both with `*` for the number of a layer; `share` of the base's weights
        that lies in these modules.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    reached = set(getattr(model, "targeted_module_names", ()))
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    ends_weights = {id(p) for end in ends if end is not None for p in end.parameters()}
    modules, unreached, count, total = set(), set(), 0, 0
    for name, parameter in base.named_parameters():
        if _ADAPTER.search(name):
            continue
        total += parameter.numel()
        owner = name.rpartition(".")[0].removesuffix(".base_layer")
        if owner in reached or parameter.requires_grad:
            modules.add(owner)
            count += parameter.numel()
        elif parameter.ndim > 1 and id(parameter) not in ends_weights:
            unreached.add(name)
    return {
        "modules": _without_numbers(modules),
        "share": count / total,
        "unreached": _without_numbers(unreached),
    }


_ADAPTER = re.compile(r"\.(lora_\w+|modules_to_save)\.")


def _without_numbers(names: Iterable[str]) -> list[str]:
    return sorted({re.sub(r"\.\d+(?=\.|$)", ".*", name) for name in names})
