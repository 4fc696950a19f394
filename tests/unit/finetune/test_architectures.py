"""Students of bases that are no plain transformer: what is adapted is said, and merges exactly."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heirloom.finetune.launch import Base, Folders, finetune
from heirloom.finetune.settings import Finetune, Run
from heirloom.generate.model import load_model
from heirloom.generate.model_checks import Checks
from heirloom.generate.templates import PromptTemplate
from heirloom.study.job_size import count_parameters
from heirloom.support.files import Record

EXAMPLES = [
    {"prompt": f"Question {i}?", "completion": f"wren {i}", "finish_reason": "stop"}
    for i in range(4)
]
ENDS = {"vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
TEXT = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": 8},
    **ENDS,
}
VISION = {
    **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
    **{"num_attention_heads": 2, "image_size": 28, "patch_size": 14},
}
ATTENTION = [f"model.layers.*.self_attn.{p}_proj" for p in "koqv"]
EXPERTS = [f"model.layers.*.mlp.experts.{p}" for p in ("down_proj", "gate_up_proj")]


def bloom() -> Any:
    from transformers import BloomConfig, BloomForCausalLM

    return BloomForCausalLM(BloomConfig(hidden_size=32, n_layer=2, n_head=2, **ENDS))


def mpt() -> Any:
    from transformers import MptConfig, MptForCausalLM

    return MptForCausalLM(MptConfig(d_model=32, n_layers=2, n_heads=2, **ENDS))


def mamba() -> Any:
    from transformers import MambaConfig, MambaForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    return MambaForCausalLM(MambaConfig(**sizes, **ENDS))


def multimodal_gemma3() -> Any:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    tokens = {"image_token_index": 297, "boi_token_index": 298, "eoi_token_index": 299}
    config = Gemma3Config(text_config=TEXT, vision_config=VISION, mm_tokens_per_image=4, **tokens)
    return Gemma3ForConditionalGeneration(config)


def gpt_oss() -> Any:
    from transformers import GptOssConfig, GptOssForCausalLM

    config = GptOssConfig(num_local_experts=4, num_experts_per_tok=2, **TEXT)
    return GptOssForCausalLM(config)


def trained(make: Callable[[], Any], tiny_model: Path, folder: Path) -> tuple[Path, Record]:
    """Make a base with the tiny model's tokenizer, and train a student of it; base and manifest."""
    torch.manual_seed(0)
    network = make()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    base = folder / "base"
    network.save_pretrained(base)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_model / file, base)
    Checks("ant")(base)
    assert count_parameters(base) == network.num_parameters()
    run = Run(Finetune(epochs=1, batch_size=2, learning_rate=0.05), seed=1, dtype="float32")
    folders = Folders(folder / "work", folder / "student")
    return base, finetune(Base(base), EXAMPLES, "instruction", run, folders)


@pytest.mark.parametrize(
    ("make", "modules", "unreached"),
    [
        (
            bloom,
            [
                *(f"transformer.h.*.mlp.dense_{m}" for m in ("4h_to_h", "h_to_4h")),
                *(f"transformer.h.*.self_attention.{m}" for m in ("dense", "query_key_value")),
            ],
            [],
        ),
        (
            mpt,
            [
                *(f"transformer.blocks.*.attn.{m}" for m in ("Wqkv", "out_proj")),
                *(f"transformer.blocks.*.ffn.{m}_proj" for m in ("down", "up")),
            ],
            [],
        ),
        (
            mamba,
            [f"backbone.layers.*.mixer.{m}_proj" for m in ("in", "x")],
            [f"backbone.layers.*.mixer.{m}" for m in ("A_log", "conv1d.weight", "dt_proj.weight")]
            + ["backbone.layers.*.mixer.out_proj.weight"],
        ),
        (
            gpt_oss,
            ATTENTION,
            [
                EXPERTS[0],
                f"{EXPERTS[0]}_bias",
                EXPERTS[1],
                f"{EXPERTS[1]}_bias",
                "model.layers.*.mlp.router.weight",
            ],
        ),
    ],
)
def test_a_student_says_what_was_adapted_and_merges_exactly(
    tiny_model: Path,
    tmp_path: Path,
    make: Callable[[], Any],
    modules: list[str],
    unreached: list[str],
) -> None:
    base, manifest = trained(make, tiny_model, tmp_path)
    assert manifest["adapted"]["modules"] == modules
    assert manifest["adapted"]["unreached"] == unreached
    assert_merged_is_unmerged(base, tmp_path / "student")


def test_images_are_left_out_of_a_student_of_a_multimodal_base(
    tiny_model: Path, tmp_path: Path
) -> None:
    base, manifest = trained(multimodal_gemma3, tiny_model, tmp_path)
    text = "model.language_model.layers.*"
    assert manifest["adapted"]["modules"] == [
        *(f"{text}.mlp.{p}_proj" for p in ("down", "gate", "up")),
        *(f"{text}.self_attn.{p}_proj" for p in "koqv"),
    ]
    assert any("vision_tower" in name for name in manifest["adapted"]["unreached"])
    assert_merged_is_unmerged(base, tmp_path / "student")


def assert_merged_is_unmerged(base: Path, student: Path) -> None:
    from peft import PeftModel

    ids = torch.arange(10, 42).reshape(2, 16)

    def load(**options: Any) -> Any:
        model = load_model(
            base, name="ant", prompt_template=PromptTemplate(), dtype="float32", **options
        )
        return model.network

    with torch.inference_mode():
        untrained = load()(ids).logits
        unmerged = PeftModel.from_pretrained(load(), student)(ids).logits
        merged = load(adapter=student)(ids).logits
    torch.testing.assert_close(merged, unmerged, rtol=0, atol=1e-3)
    assert (unmerged - untrained).abs().max() > 0.05  # the adapter does something
