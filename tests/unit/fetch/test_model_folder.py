"""Folders that are no model, or whose weights are not whole, are told apart by their files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import tiny_network

from heirloom.fetch.model_folder import INDEX, WEIGHTS, check_folder, weight_files
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_json


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([], "has no config.json"),
        (["config.json"], "has no weights (*.safetensors)"),
        (["config.json", "pytorch_model.bin"], "has pickled weights only (pytorch_model.bin)"),
        (["config.json", "pytorch_model-00001-of-00002.bin"], "has pickled weights only"),
        (["config.json", "tf_model.h5"], "has weights for another framework only (tf_model.h5)"),
        (["a.gguf", "b.gguf"], "has a.gguf, b.gguf: name the one .gguf file"),
        (["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"], "has a model in parts (a-00001"),
        (["adapter_config.json", "adapter_model.safetensors"], "is an adapter"),
        (["adapter_config.json", "config.json", WEIGHTS], "is an adapter"),
        (["params.json", "consolidated.safetensors"], "but no config.json"),
        (["config.json", "consolidated.safetensors"], f"but no {WEIGHTS} or {INDEX}"),
        (["config.json", "model.fp16.safetensors"], f"but no {WEIGHTS} or {INDEX}"),
    ],
)
def test_a_folder_that_is_no_model(tmp_path: Path, files: list[str], problem: str) -> None:
    for file in files:
        (tmp_path / file).write_text("{}")
    with pytest.raises(HeirloomError) as error:
        check_folder(tmp_path)
    assert problem in str(error.value)
    assert "safetensors, or one .gguf file" in str(error.value)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A tiny model in at least three files."""
    folder = tmp_path / "sharded"
    tiny_network().save_pretrained(folder, max_shard_size="30KB")
    assert len(weight_files(folder)) >= 3
    return folder


def test_a_sharded_model_passes(sharded: Path) -> None:
    check_folder(sharded)
    # Beside them lies a copy that nobody loads.
    shutil.copy(weight_files(sharded)[0], sharded / "consolidated.safetensors")
    check_folder(sharded)
    assert "consolidated.safetensors" not in [file.name for file in weight_files(sharded)]


def damaged_file(change: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    def damage(folder: Path) -> str:
        file = weight_files(folder)[0]
        file.write_bytes(change(file.read_bytes()))
        return f"{file.name} ({file.stat().st_size} bytes) is empty, truncated or damaged"

    return damage


def shard_is_gone(folder: Path) -> str:
    file = weight_files(folder)[1]
    file.unlink()
    return f"{INDEX} names files that are not there: {file.name}"


def tensors_are_elsewhere(folder: Path) -> str:
    index = read_json(folder / INDEX)
    name = min(index["weight_map"])
    here = index["weight_map"][name]
    index["weight_map"][name] = next(f.name for f in weight_files(folder) if f.name != here)
    write_json(folder / INDEX, index)
    return f"{name} would not be where it says"


def a_tensor_is_there_twice(folder: Path) -> str:
    from safetensors.torch import load_file, save_file

    first, second = weight_files(folder)[:2]
    tensors = load_file(first)
    name = min(tensors)
    save_file({**load_file(second), name: tensors[name] + 1}, second, metadata={"format": "pt"})
    return f"has {name} in more than one file"


def index_is_no_index(folder: Path) -> str:
    (folder / INDEX).write_text(json.dumps({"weight_map": None}))
    return f"{INDEX} is no index of weights"


def not_fetched_by_lfs(folder: Path) -> str:
    file = weight_files(folder)[0]
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    return f"{file.name} stand for files that Git LFS has not fetched"


@pytest.mark.parametrize(
    "damage",
    [
        damaged_file(lambda whole: b""),
        damaged_file(lambda whole: whole[:100]),
        damaged_file(lambda whole: whole[:-1]),
        damaged_file(lambda whole: b"\xff" + whole[1:]),
        shard_is_gone,
        tensors_are_elsewhere,
        a_tensor_is_there_twice,
        index_is_no_index,
        not_fetched_by_lfs,
    ],
)
def test_weights_that_are_not_whole(sharded: Path, damage: Callable[[Path], str]) -> None:
    problem = damage(sharded)
    with pytest.raises(HeirloomError) as error:
        check_folder(sharded)
    assert problem in str(error.value)
