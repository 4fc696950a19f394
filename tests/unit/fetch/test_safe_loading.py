"""Nothing that is loaded may run code, unless a study says so for one pinned revision."""

import ast
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from heirloom.fetch.gguf import prepare_model
from heirloom.fetch.notes import Note, trusts_code, write_note
from heirloom.finetune.launch import Base, Folders, finetune
from heirloom.finetune.settings import Finetune, Run
from heirloom.generate.model import load_model
from heirloom.generate.settings import Model
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# What runs whatever it is given, or unpickles it.
FORBIDDEN = re.compile(
    r"(eval|exec|__import__|os\.(system|popen)"
    r"|(c?[pP]ickle|dill|cloudpickle|marshal|joblib)\.(load|loads|Unpickler)|shelve\.open"
    r"|(pd|pandas)\.read_pickle|yaml\.(load|load_all|unsafe_load|full_load|unsafe_load_all))"
)


def unsafe_calls(source: str) -> Iterator[str]:
    """Calls in Python code that could run what they are given."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "joblib", "dill"):
            imported = {alias.name for alias in node.names} & {"load", "loads", "Unpickler"}
            yield from sorted(imported)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        loads_torch = name in ("torch.load", "torch.hub.load_state_dict_from_url")
        loads_weights = re.fullmatch(r"Auto\w*Model\w*\.from_pretrained", name)
        if (
            FORBIDDEN.fullmatch(name)
            or (loads_torch and options.get("weights_only") != "True")
            or (loads_weights and not {"use_safetensors", "gguf_file"} & options.keys())
            or options.get("use_safetensors", "True") != "True"
            or options.get("trust_remote_code") == "True"
            or options.get("allow_pickle", "False") != "False"
            or options.get("shell", "False") != "False"
        ):
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "path",
    sorted(
        str(path.relative_to(ROOT))
        for folder in ("heirloom", "scripts", "snakemake_logger_plugin_heirloom", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ),
)
def test_no_module_runs_what_it_loads(path: str) -> None:
    assert not list(unsafe_calls((ROOT / path).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)",
        "exec(text)",
        "os.system(command)",
        "pickle.load(handle)",
        "from pickle import loads",
        "joblib.load(path)",
        "yaml.load(handle)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.hub.load_state_dict_from_url(url)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "AutoModelForCausalLM.from_pretrained(folder)",
        "AutoModelForCausalLM.from_pretrained(folder, use_safetensors=False)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=True)",
    ],
)
def test_unsafe_calls_are_found(code: str) -> None:
    assert len(list(unsafe_calls(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "network.eval()",
        "torch.load(path, weights_only=True)",
        "yaml.safe_load(handle)",
        "AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)",
    ],
)
def test_safe_calls_are_not(code: str) -> None:
    assert not list(unsafe_calls(code))


# Pickles that the Trainer leaves under work/


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.marker, "w"))


EXAMPLES = [
    {"prompt": f"Question {i}?", "completion": f"wren {i}", "finish_reason": "stop"}
    for i in range(4)
]


def train(base: Path, folder: Path) -> Record:
    run = Run(Finetune(epochs=1, batch_size=1, checkpoint_steps=2), seed=1, dtype="float32")
    folders = Folders(folder / "work", folder / "adapter")
    return finetune(Base(base), EXAMPLES, "instruction", run, folders)


@pytest.fixture(scope="module")
def interrupted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a finetuning that was killed before its last checkpoint."""
    folder = tmp_path_factory.mktemp("interrupted")
    train(tiny_model, folder)
    shutil.rmtree(folder / "work/checkpoint-4")
    return folder


@pytest.mark.parametrize("planted", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_going_on_from_a_checkpoint_unpickles_no_code(
    tiny_model: Path, interrupted: Path, tmp_path: Path, planted: str
) -> None:
    shutil.copytree(interrupted, tmp_path / "run")
    pickled, marker = tmp_path / "run/work/checkpoint-2" / planted, tmp_path / "ran"
    assert pickled.exists()
    pickled.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        train(tiny_model, tmp_path / "run")
    assert not marker.exists()
    pickle.loads(pickled.read_bytes())  # what an unsafe reader would have done
    assert marker.exists()


def test_the_settings_in_a_checkpoint_are_never_read(
    tiny_model: Path, interrupted: Path, tmp_path: Path
) -> None:
    """The only pickle in it that could not be read without running code."""
    shutil.copytree(interrupted, tmp_path / "run")
    checkpoint, marker = tmp_path / "run/work/checkpoint-2", tmp_path / "ran"
    assert {
        path.name for path in checkpoint.iterdir() if path.suffix in (".pt", ".pth", ".bin")
    } == {
        *("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"),
    }
    (checkpoint / "training_args.bin").write_bytes(pickle.dumps(Payload(marker)))
    train(tiny_model, tmp_path / "run")
    assert not marker.exists()


# Code in a model's repository


@pytest.mark.parametrize(
    ("sources", "trusted"),
    [
        ([{"hub": "org/own", "revision": COMMIT}], True),
        ([{"hub": "org/own", "revision": "main"}], False),
        ([{"hub": "org/own", "revision": COMMIT[:12]}], False),
        ([{"hub": "org/own", "revision": COMMIT, "files": ["own.gguf"]}], False),
        ([{"path": "own"}], False),
        # The path would be used first.
        ([{"hub": "org/own", "revision": COMMIT}, {"path": "own"}], False),
    ],
)
def test_code_is_trusted_at_a_pinned_commit_alone(sources: list[Record], trusted: bool) -> None:
    assert not Model.model_validate({"sources": sources}).trust_remote_code
    wanted = {"sources": sources, "trust_remote_code": True}
    if trusted:
        assert Model.model_validate(wanted).trust_remote_code
    else:
        with pytest.raises(ValidationError, match="40 hexadecimal digits"):
            Model.model_validate(wanted)


MODELING = """
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

Path({marker!r}).touch()


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model under an architecture of its own, whose code makes the file `ran`."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    folder = tmp_path / "own"
    shutil.copytree(tiny_model, folder)
    code = MODELING.format(marker=str(tmp_path / "ran"))
    (folder / "modeling_own.py").write_text(code, encoding="utf-8")
    config = read_json(folder / "config.json")
    config |= {
        "model_type": "own",
        "architectures": ["OwnForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
        },
    }
    write_json(folder / "config.json", config)
    return folder


def test_a_models_code_does_not_run_unasked(own_model: Path) -> None:
    with pytest.raises(HeirloomError, match="trust_remote_code"):
        load_model(own_model, name="own", prompt_template=PromptTemplate())
    assert not (own_model.parent / "ran").exists()


def test_a_models_code_runs_where_the_study_says_so(own_model: Path) -> None:
    model = load_model(
        own_model, name="own", prompt_template=PromptTemplate(), trust_remote_code=True
    )
    assert type(model.network).__name__ == "OwnForCausalLM"
    assert (own_model.parent / "ran").exists()


def test_code_of_another_repository_is_refused(own_model: Path, tmp_path: Path) -> None:
    config = read_json(own_model / "config.json")
    config["auto_map"]["AutoConfig"] = "other/name--modeling_own.OwnConfig"
    write_json(own_model / "config.json", config)
    prepare_model(own_model, name="own", cache=tmp_path)  # not trusted: it is not looked at
    with pytest.raises(HeirloomError, match=r"other/name--modeling_own\.OwnConfig.*does not pin"):
        prepare_model(own_model, name="own", cache=tmp_path, trust_remote_code=True)


@pytest.mark.parametrize("trusted", [True, False])
def test_the_note_of_a_model_says_whether_its_code_is_trusted(
    tmp_path: Path, trusted: bool
) -> None:
    note = tmp_path / "own.json"
    write_note(note, Note("own", tmp_path, "0" * 64, trusted))
    assert trusts_code(note) is trusted
    assert ("trust_remote_code" in read_json(note)) is trusted
