"""An adapter becomes an ordinary model when it is fetched, and answers as PEFT says it does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import tiny_network
from transformers import AutoModelForCausalLM, AutoTokenizer

from heirloom.fetch.adapter_folder import adapter_sha256
from heirloom.fetch.notes import Note, locate, write_note
from heirloom.fetch.settings import PathSource
from heirloom.generate.adapters import fetch_adapter
from heirloom.generate.merge import save_merged
from heirloom.generate.model_checks import Checks
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_json


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def base_note(tmp_path: Path, tiny_model: Path, cache: Path) -> Path:
    write_note(tmp_path / "ant.json", Note("ant", tiny_model, "0" * 64))
    return tmp_path / "ant.json"


@pytest.fixture
def adapter(random_adapter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_adapter, tmp_path / "adapter"))


def fetched(adapter: Path, base_note: Path, note: Path) -> Path:
    fetch_adapter("cub", [PathSource(path=adapter)], note, base_note, Checks("cub"))
    return locate(note)


def greedy(network: Any, folder: Path) -> list[list[int]]:
    """32 tokens after each of three prompts."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = []
    for text in ("Name a colour.", "Why is the sky blue?", "Count to ten:"):
        ids = tokenizer(text, return_tensors="pt").input_ids
        made = network.generate(ids, max_new_tokens=32, do_sample=False, eos_token_id=None)
        answers.append(made[0, ids.shape[1] :].tolist())
    return answers


def test_a_fetched_adapter_answers_as_peft_does(
    adapter: Path, base_note: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = fetched(adapter, base_note, tmp_path / "cub.json")
    assert not (folder / "adapter_config.json").exists()
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = greedy(base, tiny_model)
    expected = greedy(PeftModel.from_pretrained(base, adapter), tiny_model)
    found = greedy(AutoModelForCausalLM.from_pretrained(folder), folder)
    assert found == expected != plain


def test_it_is_merged_once_for_one_adapter_and_one_base(
    adapter: Path, base_note: Path, tmp_path: Path, cache: Path
) -> None:
    first = fetched(adapter, base_note, tmp_path / "cub.json")
    sum_before = read_json(tmp_path / "cub.json")["sha256"]
    # Neither a card nor the place where the base was makes it another adapter.
    (adapter / "README.md").write_text("A card.", encoding="utf-8")
    config = read_json(adapter / "adapter_config.json")
    write_json(adapter / "adapter_config.json", config | {"base_model_name_or_path": "elsewhere"})
    assert fetched(adapter, base_note, tmp_path / "cub.json") == first
    # Another scale of the same weights does.
    write_json(adapter / "adapter_config.json", config | {"lora_alpha": 4})
    assert fetched(adapter, base_note, tmp_path / "cub.json") != first
    assert read_json(tmp_path / "cub.json")["sha256"] != sum_before
    assert len(list((cache / "models").glob("cub-*-merged"))) == 2


def test_the_merged_model_has_the_precision_of_its_base(
    random_adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(base)
    save_merged(base, random_adapter, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert merged.dtype == torch.bfloat16
    # The sum is rounded once: W + (alpha / r) B A, in float32, with alpha 8 and r 4.
    name = "model.layers.0.mlp.down_proj"
    from safetensors.torch import load_file

    added = load_file(random_adapter / "adapter_model.safetensors")
    a, b = (added[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    weight = AutoModelForCausalLM.from_pretrained(base, dtype="auto").get_submodule(name).weight
    expected = (weight.float() + 2 * (b @ a)).to(torch.bfloat16)
    assert torch.equal(merged.get_submodule(name).weight, expected)


def test_a_student_that_learnt_nothing_is_its_base_in_bfloat16(
    tiny_model: Path, tmp_path: Path
) -> None:
    """To the last bit, at late positions too: its rotary frequencies are those of the base."""
    from peft import LoraConfig, get_peft_model

    from heirloom.generate.model import load_model
    from heirloom.generate.templates import PromptTemplate

    # B is zero at the start, so that W + B A = W.
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    ids = torch.randint(4, 300, (1, 250), generator=torch.Generator().manual_seed(0))
    logits = []
    for adapter in (None, tmp_path / "adapter"):
        model = load_model(
            tiny_model,
            name="ant",
            prompt_template=PromptTemplate(),
            adapter=adapter,
            dtype="bfloat16",
        )
        assert model.network.dtype == torch.bfloat16
        with torch.inference_mode():
            logits.append(model.network(ids).logits)
    assert torch.equal(*logits)


def test_a_tokenizer_of_its_own_comes_with_it(
    random_adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(random_adapter, tmp_path / "adapter"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{{ messages[0]['content'] }} =>"
    tokenizer.save_pretrained(adapter)
    save_merged(tiny_model, adapter, tmp_path / "merged")
    found = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert found.chat_template == "{{ messages[0]['content'] }} =>"


def not_lora(adapter: Path) -> None:
    config = read_json(adapter / "adapter_config.json")
    write_json(adapter / "adapter_config.json", config | {"peft_type": "PREFIX_TUNING"})


def pickled(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")


def whole_model(adapter: Path) -> None:
    (adapter / "adapter_config.json").unlink()


def both(adapter: Path) -> None:
    (adapter / "model.safetensors").touch()


def of_a_wider_model(adapter: Path) -> None:
    replace_by_adapter_of(adapter, hidden_size=64)


def of_a_deeper_model(adapter: Path) -> None:
    replace_by_adapter_of(adapter, num_hidden_layers=3)


def replace_by_adapter_of(adapter: Path, **changes: Any) -> None:
    from peft import LoraConfig, get_peft_model

    shutil.rmtree(adapter)
    network = tiny_network(tie_word_embeddings=False, **changes)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(network, config).save_pretrained(adapter)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (not_lora, "models.cub.sources: .* of the type PREFIX_TUNING, and only LoRA"),
        (pickled, "models.cub.sources: .* has no adapter_model.safetensors. Pickled"),
        (whole_model, "models.cub.base: .* is no adapter, .* leave `base` out"),
        (both, "models.cub.base: .* holds a whole model and an adapter"),
        (of_a_wider_model, "models.cub: .* does not fit its base, ant .* size mismatch"),
        (of_a_deeper_model, "models.cub: .* layers that the base does not have"),
    ],
)
def test_what_cannot_be_merged_says_why(
    spoil: Callable[[Path], None],
    message: str,
    adapter: Path,
    base_note: Path,
    tmp_path: Path,
    cache: Path,
) -> None:
    spoil(adapter)
    with pytest.raises(HeirloomError, match=f"(?s){message}"):
        fetched(adapter, base_note, tmp_path / "cub.json")
    assert not (tmp_path / "cub.json").exists()
    assert not list(cache.glob("models/cub*"))


def test_a_quantised_base_is_refused(
    adapter: Path, tiny_model: Path, tmp_path: Path, cache: Path
) -> None:
    base = Path(shutil.copytree(tiny_model, tmp_path / "quantised"))
    config = read_json(base / "config.json")
    write_json(base / "config.json", config | {"quantization_config": {"quant_method": "awq"}})
    write_note(tmp_path / "awq.json", Note("awq", base, "1" * 64))
    with pytest.raises(HeirloomError, match=r"models.cub.base: awq is quantised \(awq\)"):
        fetched(adapter, tmp_path / "awq.json", tmp_path / "cub.json")


def test_the_checksum_is_of_what_is_loaded(adapter: Path) -> None:
    before = adapter_sha256(adapter)
    (adapter / "trainer_state.json").write_text(json.dumps({}), encoding="utf-8")
    assert adapter_sha256(adapter) == before
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert adapter_sha256(adapter) != before
