"""Models that no job could use, or only with a wrong result, are refused when they are fetched."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_network

from heirloom.generate.model_checks import Checks
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_json

UP = "model.layers.1.mlp.up_proj.weight"


def change_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite the tensors of a folder."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({n: t.contiguous() for n, t in tensors.items()}, file, metadata={"format": "pt"})


@pytest.fixture
def copied(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def refusal(folder: Path, **options: Any) -> str:
    """Message of the check that fails."""
    with pytest.raises(HeirloomError) as error:
        Checks("ant", **options)(folder)
    return str(error.value)


def test_a_sound_model_passes(tiny_model: Path) -> None:
    Checks("ant")(tiny_model)


def test_a_missing_tensor_is_named(copied: Path) -> None:
    change_weights(copied, lambda tensors: tensors.pop(UP))
    assert f"{copied} has no weights for {UP}." in refusal(copied)


def test_a_tensor_of_another_shape_is_named(copied: Path) -> None:
    change_weights(copied, lambda tensors: tensors.update({UP: tensors[UP][:-1]}))
    assert f"{UP} (63 x 32 instead of 64 x 32)" in refusal(copied)


def test_tied_weights_may_be_absent(copied: Path) -> None:
    network = tiny_network(tie_word_embeddings=True)
    network.save_pretrained(copied)
    Checks("ant")(copied)
    # Not tied, the head has weights of its own.
    config = read_json(copied / "config.json")
    write_json(copied / "config.json", {**config, "tie_word_embeddings": False})
    assert "has no weights for lm_head.weight" in refusal(copied)


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
        ({"quantization_config": {"load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
        (
            {"text_config": {"quantization_config": {"quant_method": "compressed-tensors"}}},
            "compressed-tensors",
        ),
        ({"quantization": {"group_size": 64, "bits": 4}}, "mlx"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
    ],
)
def test_quantised_weights_need_a_gpu(copied: Path, config: dict[str, Any], method: str) -> None:
    write_json(copied / "config.json", {**read_json(copied / "config.json"), **config})
    message = refusal(copied)
    assert f"are quantised ({method}), which needs a GPU" in message
    assert "original precision" in message
    Checks("ant", gpu=True)(copied)  # left to the jobs that have it


@pytest.mark.parametrize(
    ("file", "method"),
    [("quantize_config.json", "gptq"), ("quant_config.json", "awq")],
)
def test_quantised_weights_are_told_by_the_file_beside_them(
    copied: Path, file: str, method: str
) -> None:
    (copied / file).write_text("{}")
    assert f"are quantised ({method})" in refusal(copied)


def test_weights_without_use_are_named(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = read_json(copied / "config.json")
    write_json(copied / "config.json", {**config, "num_hidden_layers": 1})
    Checks("ant")(copied)
    assert "its configuration does not use: model.layers.1." in caplog.text


@pytest.mark.parametrize("kind", ["t5", "vit", "nobody-knows"])
def test_a_model_of_another_kind_is_refused_in_one_line(copied: Path, kind: str) -> None:
    write_json(copied / "config.json", {"model_type": kind})
    message = refusal(copied)
    assert f"model 'ant' in {copied} cannot be loaded" in message
    assert len(message.splitlines()) == 1
    assert len(message) < 800
