"""LoRA (Hu et al., 2021, arXiv 2106.09685), and QLoRA where the base is loaded in 4 bits."""

from typing import Any

from heirloom.finetune.methods import method
from heirloom.finetune.settings import Finetune

_MAMBA = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}  # those that PEFT knows


@method(
    "lora",
    label="LoRA",
    summary="Low-rank adapter on every linear layer but the head; the base stays frozen.",
    files=("adapter_model.safetensors", "adapter_config.json"),
)
def lora(model: Any, settings: Finetune) -> Any:
    """Add an adapter of rank `lora_rank`, scaled by `lora_alpha / lora_rank`, in float32.

    Its initial weights are drawn from torch's global generator.
    """
    from peft import LoraConfig, get_peft_model

    from heirloom.finetune.fused_lora import fuse_adapters

    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules="all-linear",
        exclude_modules=_unfit(model),
        task_type="CAUSAL_LM",
    )
    student = get_peft_model(model, config)
    # A set until now, saved in an order that differs from process to process.
    adapted = student.peft_config["default"]
    adapted.target_modules = sorted(adapted.target_modules)
    fuse_adapters(student)
    return student


def _unfit(model: Any) -> list[str] | None:
    """Return the linear layers that an adapter does not fit; None if there are none.

    Routers that are linear layers with a forward pass of their own, which returns more than a
    product; and the output layers of Mamba, whose weights fast kernels read without the adapter.
    """
    from torch.nn import Linear

    unfit = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, Linear)
        and type(layer).__module__.startswith("transformers.models.")
        and "Router" in type(layer).__name__
    ]
    if getattr(model.config, "model_type", None) in _MAMBA:
        unfit += [name for name, _ in model.named_modules() if name.endswith(".out_proj")]
    return unfit or None
