"""Models: how prompts are written, what is refused, and students merged into their base."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from heirloom.generate.fitting import encode_fitting
from heirloom.generate.model import load_model, load_tokenizer, resolve_dtype
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate, encode_prompt
from heirloom.support.errors import HeirloomError

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


# Prompts


def test_a_chat_template_writes_the_only_bos(tokenizer: Any) -> None:
    ids = encode_prompt(tokenizer, PromptTemplate(), "Name a bird.", "instruction")
    assert tokenizer.decode(ids) == (
        "<s><|im_start|>user\nName a bird.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids.count(tokenizer.bos_token_id) == 1
    # The markers are tokens, not text that spells them.
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 2


def test_a_template_of_ones_own_gets_the_tokenizers_bos(tokenizer: Any) -> None:
    template = PromptTemplate('### {"q"}: {prompt}\n### Answer: ')
    ids = encode_prompt(tokenizer, template, "Use {prompt} or {x}.", "instruction")
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    text = '### {"q"}: Use {prompt} or {x}.\n### Answer: '
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("template", ["chat", "Question: {prompt}"])
def test_a_continuation_is_bare(tokenizer: Any, template: str) -> None:
    ids = encode_prompt(tokenizer, PromptTemplate(template), "So I said", "continuation")
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "So I said"


def test_smollm2_prompts(smollm2: Path) -> None:
    real = load_tokenizer(smollm2)
    ids = encode_prompt(real, PromptTemplate(), "Name a bird.", "instruction")
    rendered = real.decode(ids)
    assert rendered.startswith("<|im_start|>system\n")
    assert rendered.endswith(
        "<|im_end|>\n<|im_start|>user\nName a bird.<|im_end|>\n<|im_start|>assistant\n"
    )
    # One that opens each of the three messages; <|im_start|> is the BOS as well.
    assert ids.count(real.bos_token_id) == 3
    bare = encode_prompt(real, PromptTemplate(), "So I said", "continuation")
    assert real.decode(bare) == "So I said"


def test_a_missing_chat_template(tiny_model: Path) -> None:
    bare = load_tokenizer(tiny_model)
    bare.chat_template = None
    with pytest.raises(HeirloomError, match=r"no chat template.*`template:`"):
        encode_prompt(bare, PromptTemplate(), "Name a bird.", "instruction")
    assert encode_prompt(bare, PromptTemplate(), "So", "continuation")
    assert encode_prompt(bare, PromptTemplate("Q: {prompt}"), "So", "instruction")


# Loading


def load(folder: Path, **options: Any) -> Any:
    return load_model(folder, name="mine", prompt_template=PromptTemplate(), **options)


def test_a_model_knows_its_context_and_its_ends(tiny_model: Path) -> None:
    model = load(tiny_model, dtype="float32")
    assert model.context_length == 256
    assert model.end_tokens == {model.tokenizer.convert_tokens_to_ids("<|im_end|>")}
    model.network.generation_config.eos_token_id = [7, 8]
    assert model.end_tokens == {3, 7, 8}  # <|im_end|> is the fourth special token
    model.network.generation_config.eos_token_id = 9
    assert model.end_tokens == {3, 9}
    model.network.generation_config.eos_token_id = None
    assert model.end_tokens == {3}
    assert not model.network.training
    assert model.tokenizer.padding_side == "left"


@pytest.mark.parametrize(
    ("config", "values", "length"),
    [
        ("GPT2Config", {"n_positions": 64}, 64),  # max_position_embeddings by another name
        ("MptConfig", {"max_seq_len": 128}, 128),
        ("BloomConfig", {"seq_length": 2048}, 2048),
        ("BloomConfig", {}, math.inf),
        ("MambaConfig", {}, math.inf),
        ("RwkvConfig", {"context_length": 32}, 32),
        ("XLNetConfig", {}, math.inf),  # says -1
        ("Gemma3Config", {"text_config": {"max_position_embeddings": 96}}, 96),
    ],
)
def test_the_context_by_whatever_name(
    load_tiny: Any, config: str, values: dict[str, Any], length: float
) -> None:
    import transformers

    model = load_tiny("transformers")
    model.network.config = getattr(transformers, config)(**values)
    assert model.context_length == length


def test_a_model_without_a_limit_takes_every_prompt(load_tiny: Any) -> None:
    from transformers import MambaConfig

    model = load_tiny("transformers")
    request = Request(samples=1, max_new_tokens=10_000, sampling=Sampling(), seed=1)
    assert encode_fitting(model, [Prompt("a", "Hi")], request, shard=0)[0] == {}
    model.network.config = MambaConfig()
    fitting, too_long = encode_fitting(model, [Prompt("a", "Hi")], request, shard=0)
    assert list(fitting) == ["a"]
    assert too_long == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_get_the_dtype_asked_for(tiny_model: Path, dtype: str) -> None:
    network = load(tiny_model, dtype=dtype).network
    assert {p.dtype for p in network.parameters()} == {getattr(torch, dtype)}


def test_a_tokenizer_without_padding_pads_with_its_end(tiny_model: Path, tmp_path: Path) -> None:
    own = load_tokenizer(tiny_model)
    own.pad_token = None
    own.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == "<|im_end|>"


def test_damaged_weights(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1_000])
    with pytest.raises(HeirloomError, match=r"'mine' could not be loaded from .*damaged.*delete"):
        load(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file(tiny_model: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / file).unlink()
    with pytest.raises(HeirloomError, match="'mine' could not be loaded from"):
        load(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match="'mine' could not be loaded from"):
        load(tmp_path / "gone")


def test_a_damaged_tokenizer(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:500])
    with pytest.raises(HeirloomError, match="'mine' could not be loaded from"):
        load(folder)


# Students


def test_a_merged_adapter_computes_what_the_unmerged_does(
    tiny_model: Path, random_adapter: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = torch.arange(10, 74).reshape(2, 32)
    with torch.inference_mode():
        untrained = base(ids).logits
        expected = PeftModel.from_pretrained(base, random_adapter)(ids).logits
        merged = load(tiny_model, adapter=random_adapter, dtype="float32").network(ids).logits
    torch.testing.assert_close(merged, expected, rtol=0, atol=2e-4)
    assert (expected - untrained).abs().max() > 0.1  # the adapter does something


def test_a_merged_adapter_is_rounded_once(tiny_model: Path, random_adapter: Path) -> None:
    """bfloat16 weights of a student are its float32 weights, rounded."""
    exact = load(tiny_model, adapter=random_adapter, dtype="float32").network.state_dict()
    rounded = load(tiny_model, adapter=random_adapter, dtype="bfloat16").network.state_dict()
    assert exact.keys() == rounded.keys()
    assert all(torch.equal(exact[name].bfloat16(), rounded[name]) for name in exact)
    assert not any("lora" in name for name in exact)


def test_a_damaged_adapter_is_named(tiny_model: Path, random_adapter: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(random_adapter, tmp_path / "student")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(HeirloomError, match=f"'mine' could not be loaded from {folder}"):
        load(tiny_model, adapter=folder)


def lose(file: Path, name: str) -> None:
    """Delete a tensor from a file of weights."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_model_that_lost_a_tensor_is_not_filled_with_noise(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    lose(folder / "model.safetensors", "model.layers.0.self_attn.q_proj.weight")
    with pytest.raises(HeirloomError, match=r"no weights for model\.layers\.0\.self_attn\.q_proj"):
        load(folder)


def test_an_adapter_that_lost_a_tensor_is_not_filled_with_noise(
    tiny_model: Path, random_adapter: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(random_adapter, tmp_path / "student")
    lost = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    lose(folder / "adapter_model.safetensors", lost)
    with pytest.raises(HeirloomError, match=r"missing adapter keys.*layers\.0\.self_attn\.q_proj"):
        load(tiny_model, adapter=folder)


# Number format


def test_named_dtypes() -> None:
    assert resolve_dtype("float32", CPU) == torch.float32
    assert resolve_dtype("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16 amx_bf16 amx_tile\n", "bfloat16"),
        # The instructions alone: slower there than float32.
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16\n", "float32"),
        ("vendor_id : AuthenticAMD\nflags : avx512f avx512_bf16\n", "bfloat16"),
        ("vendor_id : AuthenticAMD\nflags : avx2\n", "float32"),
        ("Features : fp asimd bf16 i8mm\n", "bfloat16"),
        (None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_is_faster_in_it(
    tmp_path: Path, cpuinfo: str | None, expected: str
) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo:
        file.write_text(cpuinfo)
    assert resolve_dtype("auto", CPU, cpuinfo=file) == getattr(torch, expected)
