"""LoRA (Hu et al., 2021, arXiv 2106.09685), and QLoRA where the base is loaded in 4 bits."""

from typing import Any

from heirloom.finetune.methods import method
from heirloom.finetune.settings import Finetune


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
        task_type="CAUSAL_LM",
    )
    student = get_peft_model(model, config)
    # A set until now, saved in an order that differs from process to process.
    adapted = student.peft_config["default"]
    adapted.target_modules = sorted(adapted.target_modules)
    fuse_adapters(student)
    return student
