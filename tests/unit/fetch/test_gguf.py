"""A tiny random llama goes through GGUF and comes back; damaged files are told apart."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_network

from heirloom.fetch.gguf import prepare_model
from heirloom.support.errors import HeirloomError

LAYERS, HEADS, KV_HEADS, WIDTH, HIDDEN = 2, 4, 2, 32, 64
CHARACTERS = [chr(code) for code in range(ord("!"), ord("~") + 1)]  # 94 printable ones
TOKENS = ["<|endoftext|>", *CHARACTERS, "Ġ", "he", "ll", "hell", "hello"]


def tiny_llama() -> Any:
    return tiny_network(
        vocab_size=len(TOKENS),
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=WIDTH // HEADS,
        max_position_embeddings=128,
    )


def write_gguf(model: Any, path: Path, *, without: str = "") -> None:
    """Write a llama as float32 GGUF; leave out the tensor named `without`."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] + [1] * (len(TOKENS) - 1))  # 3 = control, 1 = normal
    writer.add_token_merges(["h e", "l l", "he ll", "hell o"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for key, tensor in model.state_dict().items():
        name = names.get_name(key, try_suffixes=(".weight",))
        if name == without:
            continue
        values = tensor.numpy()
        for part, heads in (("q_proj", HEADS), ("k_proj", KV_HEADS)):
            if part in key:
                # GGUF keeps the two halves of a rotary pair side by side, transformers apart.
                halves = values.reshape(heads, 2, values.shape[0] // heads // 2, WIDTH)
                values = halves.swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_llama()


@pytest.fixture(scope="module")
def gguf_file(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(model, path)
    return path


def test_gguf_comes_back_as_it_was(model: Any, gguf_file: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The name of a download may end in anything.
    renamed = tmp_path / "download"
    renamed.write_bytes(gguf_file.read_bytes())
    folder = prepare_model(renamed, name="tiny", cache=tmp_path / "cache")
    assert folder.parent == tmp_path / "cache" / "models"
    assert folder.name.startswith("tiny-")
    assert folder.name.endswith("-bf16")

    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == torch.bfloat16
    weights = loaded.state_dict()
    assert weights.keys() == model.state_dict().keys()
    for key, expected in model.state_dict().items():
        assert torch.equal(weights[key], expected.to(torch.bfloat16)), key

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("hello he", add_special_tokens=False).input_ids
    assert ids == [TOKENS.index(token) for token in ("hello", "Ġ", "he")]
    assert tokenizer.eos_token == "<|endoftext|>"

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["n_parameters"] == model.num_parameters()
    assert manifest["dtype"] == "bfloat16"
    assert set(manifest["versions"]) == {"transformers", "gguf"}
    # Nothing of the source stays behind, and whoever may read the configuration may read it all.
    assert not list(folder.glob("*.gguf"))
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_conversion_is_done_once_per_content_and_dtype(gguf_file: Path, tmp_path: Path) -> None:
    first = prepare_model(gguf_file, name="tiny", cache=tmp_path)
    written = (first / "model.safetensors").stat().st_mtime_ns
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(gguf_file.read_bytes())
    assert prepare_model(copy, name="tiny", cache=tmp_path) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    other = prepare_model(gguf_file, name="tiny", cache=tmp_path, dtype="float32")
    assert other.name == first.name.replace("bf16", "f32")


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.99])
def test_a_truncated_gguf(gguf_file: Path, tmp_path: Path, share: float) -> None:
    whole = gguf_file.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(HeirloomError, match=r"cut\.gguf .*could not be read as a GGUF.*truncated"):
        prepare_model(cut, name="cut", cache=tmp_path)
    models = tmp_path / "models"
    assert [path.name for path in models.iterdir() if path.suffix != ".lock"] == []


def test_a_gguf_without_some_weights_is_not_filled_with_noise(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "holey.gguf"
    write_gguf(model, path, without="blk.1.ffn_up.weight")
    with pytest.raises(HeirloomError, match=r"no weights for model\.layers\.1\.mlp\.up_proj"):
        prepare_model(path, name="holey", cache=tmp_path)


def test_a_model_folder_is_returned_as_it_is(tiny_model: Path, tmp_path: Path) -> None:
    assert prepare_model(tiny_model, name="m", cache=tmp_path / "cache") == tiny_model
    assert not (tmp_path / "cache").exists()


def kind(path: Path, **values: Any) -> Path:
    """Write a GGUF file with these keys, double underscores for dots, and one tensor."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, values.pop("architecture", "llama"))
    for key, value in values.items():
        name = key.replace("__", ".")
        writer.add_uint16(name, value) if isinstance(value, int) else writer.add_string(name, value)
    writer.add_tensor("a.weight", np.zeros((2, 2), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"split__no": 0, "split__count": 3}, "is part 1 of 3 of a model. Join the parts"),
        ({"split__no": 2, "split__count": 3}, "is part 3 of 3 of a model. Join the parts"),
        ({"architecture": "clip", "general__type": "mmproj"}, "of a multimodal model: name the"),
        ({"architecture": "clip-vision"}, "(mmproj) of a multimodal model: name the"),
        ({"general__type": "adapter", "adapter__type": "lora"}, "is an adapter (LoRA)"),
        ({"general__type": "imatrix"}, "is an importance matrix"),
    ],
)
def test_a_gguf_that_is_no_model_says_so(
    tmp_path: Path, values: dict[str, Any], problem: str
) -> None:
    # The name of a download may hide what it is.
    path = kind(tmp_path / "model.gguf", **values)
    with pytest.raises(HeirloomError) as error:
        prepare_model(path, name="m", cache=tmp_path / "cache")
    assert problem in str(error.value)
    assert "damaged" not in str(error.value)


def test_a_gguf_is_read_once(gguf_file: Path, tmp_path: Path, counted: list[str]) -> None:
    prepare_model(gguf_file, name="tiny", cache=tmp_path)
    assert len(counted) == 1


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that GGUF's reader reads, in order."""
    import gguf

    read: list[str] = []

    class Counted(gguf.GGUFReader):  # type: ignore[misc]
        def __init__(self, path: str) -> None:
            read.append(path)
            super().__init__(path)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    return read


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda path: None, "could not be read: No such file"),
        (lambda path: path.write_bytes(b"\x80\x02pickle"), "is not a GGUF file"),
        (lambda path: path.write_bytes(b""), "is not a GGUF file"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
            "stands for a file that Git LFS has not fetched",
        ),
    ],
)
def test_a_file_that_is_no_model(
    tmp_path: Path, prepare: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "model.bin"
    prepare(path)
    with pytest.raises(HeirloomError, match=rf"model\.bin {problem}"):
        prepare_model(path, name="m", cache=tmp_path)


@pytest.mark.skipif(
    not os.environ.get("HEIRLOOM_TEST_GGUF"),
    reason="HEIRLOOM_TEST_GGUF does not name a real GGUF file",
)
def test_a_real_gguf_speaks(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = Path(os.environ["HEIRLOOM_TEST_GGUF"])
    folder = prepare_model(file, name="real", cache=tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        answer = model.generate(prompt, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])
