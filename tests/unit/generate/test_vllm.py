"""vLLM as a back end: its server is started, asked and ended, with a stand-in and with itself.

The stand-in is `completion_server`, started in place of `vllm serve`. vLLM itself is tested where
$HEIRLOOM_VLLM says how to start it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_network

from heirloom.generate.backends import vllm
from heirloom.generate.completions import generate, require
from heirloom.generate.model import Engine, LanguageModel, load_model, load_shape
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

PROMPTS = [Prompt(f"p{n}", f"Name {n} colours.") for n in range(4)]
TOO_LONG = Prompt("long", "word " * 400)
SAMPLED = Request(2, 12, Sampling(1.0, 20, 0.9), seed=1)


def gone(group: Path) -> bool:
    """True if every process of the group ends within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(int(group.read_text()), 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_server_is_there_while_completions_are_missing(
    vllm_stand_in: Path, load_tiny: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    model = load_tiny("vllm")
    assert model.device.type == "meta"  # no weights here
    records = generate(model, [*PROMPTS, TOO_LONG], SAMPLED, work=tmp_path / "work")
    assert gone(vllm_stand_in)

    arguments = (tmp_path / "work/vllm-1-of-1.log").read_text()
    assert arguments.startswith(str(model.network.name_or_path))
    assert "--dtype float32" in arguments and "--generation-config vllm" in arguments
    longest = max(len(model.encode_prompt(p.text, "instruction")) for p in PROMPTS)
    assert f"--max-model-len {longest + 12} " in arguments  # TOO_LONG is not sent

    vllm_stand_in.unlink()
    again = generate(model, [*PROMPTS, TOO_LONG], SAMPLED, work=tmp_path / "work")
    assert again == records and not vllm_stand_in.exists()  # nothing was missing, nothing started


def test_a_server_that_dies_leaves_what_it_wrote(
    vllm_stand_in: Path,
    load_tiny: Callable[..., LanguageModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load_tiny("vllm")
    unbroken = generate(model, PROMPTS, SAMPLED, work=tmp_path / "unbroken")
    monkeypatch.setenv("DIES_AFTER", "3")
    with pytest.raises(HeirloomError, match="3 of 8 missing completions are kept now") as caught:
        generate(model, PROMPTS, SAMPLED, work=tmp_path / "work")
    assert f"vLLM's own messages are in {tmp_path / 'work/vllm-1-of-1.log'}" in str(caught.value)
    assert gone(vllm_stand_in)
    monkeypatch.setenv("DIES_AFTER", "5")  # exactly those that are missing
    assert generate(model, PROMPTS, SAMPLED, work=tmp_path / "work") == unbroken


def test_one_that_does_not_start_says_why(
    load_tiny: Callable[..., LanguageModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(vllm.COMMAND, "sh -c 'echo no such device >&2; exit 3'")
    model = load_tiny("vllm")
    with pytest.raises(HeirloomError, match="ended before it was ready to serve tiny") as caught:
        generate(model, PROMPTS, SAMPLED, work=tmp_path / "work")
    assert "no such device" in str(caught.value)


def test_without_vllm_the_back_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vllm.COMMAND, "/nowhere/vllm serve")
    with pytest.raises(HeirloomError, match=r"no command /nowhere/vllm.*\$HEIRLOOM_VLLM"):
        require(Engine("vllm"))


def test_a_killed_job_takes_its_server_along(
    vllm_stand_in: Path, tmp_path: Path, root: Path
) -> None:
    job = f"""
import time, types
from pathlib import Path
from heirloom.generate.backends import vllm
model = types.SimpleNamespace(name="tiny", network=types.SimpleNamespace(dtype="torch.float32"))
with vllm._serving(Path("folder"), model, 64, Path({str(tmp_path)!r}, "log")):
    print("ready", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", job], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(vllm_stand_in)  # with the process that it started


@pytest.fixture(scope="module")
def wide_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with heads as wide as vLLM's kernels for processors need them."""
    from transformers import AutoConfig

    folder = tmp_path_factory.mktemp("models") / "wide"
    shutil.copytree(tiny_model, folder)
    settings = AutoConfig.from_pretrained(tiny_model).to_dict()
    changes = {**settings, "hidden_size": 128, "head_dim": 64}
    tiny_network(**changes).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(wide_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of random weights, none of them zero."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(wide_model), settings)
    folder = tmp_path_factory.mktemp("adapter")
    network.save_pretrained(folder)
    return folder


@pytest.mark.skipif(vllm.COMMAND not in os.environ, reason=f"${vllm.COMMAND} names no vLLM")
def test_vllm_itself(wide_model: Path, adapter: Path, tmp_path: Path) -> None:
    """A student's greedy texts are those of transformers; a base's sampled ones the same twice."""

    def written(
        backend: str, sampling: Sampling, name: str, student: Path | None = None
    ) -> list[Record]:
        load: Any = load_model if student or backend != "vllm" else load_shape
        model = load(
            wide_model,
            name="wide",
            prompt_template=PromptTemplate(stop=("er",)),
            dtype="float32",
            engine=Engine(backend),
            **({"adapter": student} if student else {}),
        )
        request = Request(2, 24, sampling, seed=1)
        return generate(model, [*PROMPTS, TOO_LONG], request, work=tmp_path / name)

    greedy, sampling = Sampling(0), Sampling(1.0, 20, 0.9)
    expected = written("transformers", greedy, "expected", adapter)
    assert written("transformers", greedy, "base") != expected
    assert written("vllm", greedy, "student", adapter) == expected
    first = written("vllm", sampling, "first")
    assert len({record["completion"] for record in first[:8]}) == 8
    assert written("vllm", sampling, "second") == first
