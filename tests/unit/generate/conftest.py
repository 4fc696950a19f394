"""Models and servers that the tests of several back ends share."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import completion_server
import pytest
from spelled_models import GEMMA3, SIZES, save_spelled
from tiny import tiny_network

from heirloom.generate import client
from heirloom.generate.backends import vllm


@pytest.fixture(scope="session")
def spelled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a llama and a Gemma 3 whose tokens are words."""
    folders = {}
    for family, changes in (("llama", {}), ("gemma3", GEMMA3)):
        folders[family] = tmp_path_factory.mktemp(family)
        save_spelled(tiny_network(family, seed=1, **SIZES, **changes), folders[family])
    return folders


@pytest.fixture
def server() -> Iterator[completion_server.CompletionServer]:
    """An endpoint that answers well unless it is told otherwise."""
    with completion_server.serving() as running:
        yield running


@pytest.fixture(scope="session")
def random_adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model with random weights, none of them zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), settings)
    folder = tmp_path_factory.mktemp("adapter")
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def vllm_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Started as vLLM would be, with a process of its own beside it; the file with its group."""
    group = tmp_path / "group"
    server = shlex.join([sys.executable, completion_server.__file__])
    script = f'sleep 600 & ps -o pgid= $$ > {group}; exec {server} "$@"'
    monkeypatch.setenv(vllm.COMMAND, shlex.join(["sh", "-c", script, "sh"]))
    monkeypatch.setattr(client, "_FIRST_DELAY", 0.02)
    return group
