"""LoRA (Hu et al., 2021, arXiv 2106.09685), and QLoRA where the base is loaded in 4 bits."""

from typing import Any

from heirloom.finetune.methods import method
from heirloom.finetune.settings import Finetune

# Layers of state-space models whose weights are used without calling the layer: an adapter on them
# would have no effect, and PEFT refuses most.
_STATE_SPACE = ("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h")
_USED_UNCALLED = ("conv1d", "dt_proj", "out_proj")


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

    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules="all-linear",
        exclude_modules=_excluded(model) or None,
        task_type="CAUSAL_LM",
    )
    student = get_peft_model(model, config)
    # A set until now, saved in an order that differs from process to process.
    adapted = student.peft_config["default"]
    adapted.target_modules = sorted(adapted.target_modules)
    return student


def _excluded(model: Any) -> list[str]:
    """Return linear layers that get no adapter: a text would not pass through, or it fails."""
    from torch.nn import Linear

    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, Linear)]
    # A router that is a linear layer returns more than a product.
    routers = [n for n, m in layers if "Router" in type(m).__name__]
    config = model.config
    if config.model_type in _STATE_SPACE:
        return [*_USED_UNCALLED, *routers]
    if config.get_text_config() is config:
        return routers
    # Encoders of images or sound in a multimodal model.
    of_text = {*model.get_decoder().modules(), model.get_output_embeddings()}
    return [*routers, *(name for name, layer in layers if layer not in of_text)]
