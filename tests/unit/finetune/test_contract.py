"""The contract of every registered training method."""

from pathlib import Path

import pytest

from heirloom.finetune.launch import Base, Folders, finetune
from heirloom.finetune.methods import METHODS, Method
from heirloom.finetune.settings import Finetune, Run
from heirloom.support.files import Record

EXAMPLES = [
    {"prompt": f"Question {i}?", "completion": f"wren {i}", "finish_reason": "stop"}
    for i in range(6)
]


@pytest.fixture(params=METHODS.names(), scope="module")
def method(request: pytest.FixtureRequest) -> Method:
    """Every registered method."""
    return METHODS.get(request.param)


def train(base: Path, folder: Path, method: Method, seed: int) -> Record:
    run = Run(Finetune(epochs=1), seed=seed, dtype="float32", method=method.name)
    folders = Folders(folder / "work", folder / "student")
    return finetune(Base(base), EXAMPLES, "instruction", run, folders)


@pytest.fixture(scope="module")
def trained(
    tiny_model: Path, method: Method, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Record]:
    """Folder and manifest of one run with seed 1."""
    folder = tmp_path_factory.mktemp(method.name)
    return folder / "student", train(tiny_model, folder, method, seed=1)


def test_it_says_what_it_is(method: Method) -> None:
    assert method.label and method.summary.endswith(".")
    assert "\n" not in method.summary
    assert any(name.endswith(".safetensors") for name in method.files)


def test_it_leaves_its_files_and_no_others(method: Method, trained: tuple[Path, Record]) -> None:
    assert {path.name for path in trained[0].iterdir()} == set(method.files)


def test_the_seed_decides_every_byte(
    tiny_model: Path, method: Method, trained: tuple[Path, Record], tmp_path: Path
) -> None:
    folder, manifest = trained
    weights = [name for name in method.files if name.endswith(".safetensors")]

    def content(student: Path) -> list[bytes]:
        return [(student / name).read_bytes() for name in weights]

    assert train(tiny_model, tmp_path / "same", method, seed=1) == manifest
    assert content(tmp_path / "same" / "student") == content(folder)
    train(tiny_model, tmp_path / "other", method, seed=2)
    assert content(tmp_path / "other" / "student") != content(folder)


def test_only_what_is_trained_has_gradients(tiny_model: Path, method: Method) -> None:
    from transformers import AutoModelForCausalLM

    student = method.prepare(AutoModelForCausalLM.from_pretrained(tiny_model), Finetune())
    trained = [p for p in student.parameters() if p.requires_grad]
    assert trained and all(p.is_floating_point() for p in trained)
