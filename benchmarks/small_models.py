"""Random models of a few thousand weights in every causal architecture of transformers.

One recipe for all: the architecture's own default configuration, with what sets its size made
small, in its parts as well.
"""

from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

ARCHITECTURES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCABULARY = 96
_MOST = 2_000_000
_WIDTH, _HEADS, _HEAD, _LAYERS, _WINDOW = 32, 4, 8, 4, 8

# Keys of configurations by what they set; most of them have several names.
_SMALL = [
    (VOCABULARY, ["vocab_size", "vocab_size_per_layer_input", "n_words", "text_vocab_size"]),
    (
        _WIDTH,
        [
            *("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "emb_dim", "dim_model"),
            *("attention_hidden_size", "lru_width", "word_embed_proj_dim", "d_embed"),
            *("mamba_d_ssm", "hidden_dim", "embed_dim", "emb_hidden_size", "text_hidden_size"),
        ],
    ),
    (
        2 * _WIDTH,
        [
            *("intermediate_size", "ffn_dim", "n_inner", "d_inner", "d_ff", "decoder_ffn_dim"),
            *("encoder_ffn_dim", "dim_ff", "ffn_hidden_size", "intermediate_size_mlp", "dff"),
            *("dense_intermediate_size", "shared_intermediate_size", "block_ff_dim"),
            *("feed_forward_size", "prefix_dense_intermediate_size", "mlp_dim"),
        ],
    ),
    (
        _WIDTH // 2,
        [
            *("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"),
            *("moe_shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank", "expert_dim"),
        ],
    ),
    (
        _HEADS,
        [
            *("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"),
            *("decoder_attention_heads", "mamba_n_heads", "mamba_num_heads"),
            *("linear_num_value_heads", "linear_num_heads", "num_encoder_attention_heads"),
            *("num_decoder_attention_heads", "swa_num_attention_heads"),
        ],
    ),
    (
        2,
        [
            *(
                "num_key_value_heads",
                "num_kv_heads",
                "n_head_kv",
                "linear_num_key_heads",
                "n_groups",
            ),
            *(
                "mamba_n_groups",
                "num_experts_per_tok",
                "num_experts_per_token",
                "moe_topk",
                "moe_k",
            ),
            *("top_k_experts", "swa_num_key_value_heads", "num_global_key_value_heads"),
            *("expand", "mamba_expand", "linear_num_kv_heads", "num_selected_experts"),
        ],
    ),
    (
        _HEAD,
        [
            *("head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_channels"),
            *("linear_key_head_dim", "linear_value_head_dim", "ssm_state_size", "state_size"),
            *("mamba_d_state", "mamba_head_dim", "swa_head_dim", "rotary_dim", "d_kv"),
            *("index_head_dim", "global_head_dim", "hidden_size_per_layer_input", "laurel_rank"),
            *("linear_head_dim", "mamba_headdim", "adapter_rank", "mamba_dt_rank", "mamba_d_head"),
        ],
    ),
    (
        _LAYERS,
        [
            *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"),
            *("decoder_layers", "num_encoder_layers", "num_decoder_layers"),
        ],
    ),
    (
        4,
        [
            *("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
            *("ffn_num_experts", "n_experts"),
        ],
    ),
    (
        1,
        [
            "n_group",
            "topk_group",
            "num_shared_experts",
            "n_shared_experts",
            "num_nextn_predict_layers",
        ],
    ),
    (16, ["mamba_chunk_size", "chunk_size", "block_size", "num_buckets"]),
    (_WINDOW, ["sliding_window", "attention_chunk_size", "attention_window_size", "window_size"]),
    (
        256,
        ["max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"],
    ),
    (0.2, ["initializer_range", "init_std", "initializer_factor"]),
]
SIZES = {key: value for value, keys in _SMALL for key in keys}


# What follows from no rule: sizes that must fit each other, and defaults without a layer of one of
# the kinds that the architecture is known for.
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8}
_LFM2 = {"layer_types": ["conv", "full_attention"] * 2}
_SHARED = {"num_kv_shared_layers": 2, "activation_sparsity_pattern": None}
_OWN: dict[str, dict[str, Any]] = {
    "bamba": {**_MAMBA, "attn_layer_indices": [1, 3]},
    "bitnet": {"num_key_value_heads": 2},
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 64},
    "gemma3n_text": {**_SHARED, "intermediate_size": 64},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {**_MAMBA, "layer_types": ["mamba", "attention"] * 2},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": _LFM2,
    "lfm2_moe": {**_LFM2, "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "zamba2": {
        **{"attention_hidden_size": 64, "attention_head_dim": 16, "kv_channels": 16},
        **{"num_query_groups": 4, "hybrid_layer_ids": [1, 3]},
    },
}


def small_network(architecture: str, *, seed: int = 0) -> Any:
    """Make a random model of an architecture, by its `model_type`, in float32.

    Raises:
        Exception: Of any kind: the recipe does not fit.
    """
    config = small_config(CONFIG_MAPPING[architecture], **_OWN.get(architecture, {}))
    with torch.device("meta"):
        weights = sum(w.numel() for w in AutoModelForCausalLM.from_config(config).parameters())
    if weights > _MOST:
        raise ValueError(f"still {weights:,} weights")
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def small_config(made: Any, **own: Any) -> Any:
    """Return a configuration of a class with everything that sets its size small."""
    default = made()
    known = default.to_dict()
    given: dict[str, Any] = {}
    for key, value in known.items():
        part = vars(default).get(key)
        if hasattr(part, "to_dict") and hasattr(part, "model_type"):
            given[key] = small_config(type(part), **_OWN.get(part.model_type, {}))
        elif isinstance(value, bool):
            continue
        elif key.endswith("_token_id") and isinstance(value, int):
            given[key] = min(value, 3)
        elif ("drop" in key or "jitter" in key) and isinstance(value, float):
            given[key] = 0.0
        elif isinstance(value, list) and _layers(known) == len(value) > _LAYERS:
            kinds = list(dict.fromkeys(map(_hashable, value)))
            given[key] = [kinds[i % len(kinds)] for i in range(_LAYERS)]
        elif key in SIZES and isinstance(value, int):
            given[key] = min(SIZES[key], value)
        elif key in SIZES and isinstance(value, float):
            given[key] = SIZES[key]
    if known.get("num_key_value_heads") == known.get("num_attention_heads"):
        given.pop("num_key_value_heads", None)
        given |= {"num_key_value_heads": _HEADS} if known.get("num_key_value_heads") else {}
    return made(**{**given, **own})


def _layers(known: dict[str, Any]) -> int | None:
    names = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    return next((known[name] for name in names if known.get(name)), None)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
