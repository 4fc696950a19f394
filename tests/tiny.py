"""Random networks of a few thousand weights, in the architectures that the tests need."""

from typing import Any

_CLASSES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM"),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
}


def tiny_network(family: str = "llama", *, seed: int = 0, **changes: Any) -> Any:
    """Make a causal language model: two layers, 300 tokens and a context of 256.

    Args:
        family: `"llama"`, `"gemma2"`, or `"gemma3"`, with a window of 8.
        seed: Decides the weights.
        changes: Of its configuration.
    """
    import torch
    import transformers

    config = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
        # Wider than usual: an all but uniform distribution would hide what the context changes.
        "initializer_range": 0.2,
        "pad_token_id": 0,
    }
    if family == "gemma3":
        config["sliding_window"] = 8
    configuration, network = (getattr(transformers, name) for name in _CLASSES[family])
    torch.manual_seed(seed)
    return network(configuration(**{**config, **changes})).eval()
