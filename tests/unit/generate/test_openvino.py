"""OpenVINO's decoder against the model itself: the same logits, the same completions."""

import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spelled_models import (
    GREEDY,
    QUESTIONS,
    SIZES,
    SPELLED,
    WRITING,
    load_spelled,
    save_spelled,
)
from tiny import tiny_network

from heirloom.generate.backends import BACKENDS, openvino
from heirloom.generate.backends.transformers import Transformers
from heirloom.generate.completions import generate, identity, require
from heirloom.generate.decoders import Decoder, openvino_graph
from heirloom.generate.decoders import openvino as decoders_openvino
from heirloom.generate.decoders.openvino_weights import quantise
from heirloom.generate.decoders.transformers import TransformersDecoder
from heirloom.generate.model import AUTO, Engine, LanguageModel, load_model
from heirloom.generate.request import Prompt, Request
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

OPENVINO, TRANSFORMERS = Engine("openvino"), Engine("transformers")
INT8 = Engine("openvino", "int8")
needs_openvino = pytest.mark.skipif(not openvino.installed(), reason="OpenVINO is not installed")
LOOSE = Request(1, 24, GREEDY, seed=0, format="continuation")


def decoder_of(model: LanguageModel) -> Decoder:
    """The decoder that a model's back end makes of it."""
    backend: Any = BACKENDS.get(model.engine.backend)
    made: Decoder = backend.decoder(model)
    return made


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this module's own, for the graphs that are kept."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEIRLOOM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def pairs(spelled: dict[str, Path]) -> dict[str, tuple[LanguageModel, LanguageModel]]:
    """A llama and a Gemma 3 with a window of 8, each with both back ends."""
    return {
        name: (
            load_spelled(folder, OPENVINO),
            load_spelled(folder, TRANSFORMERS),
        )
        for name, folder in spelled.items()
    }


@torch.inference_mode()
def log_probabilities(
    decoder: Decoder, prompts: Sequence[list[int]], samples: Sequence[int], steps: int
) -> torch.Tensor:
    """Of each sequence and step [steps, sequences, vocabulary], after tokens drawn once for all.

    The last sequence is dropped half way.
    """
    random = np.random.default_rng(5)
    sequences = rows = sum(samples)
    lengths = [len(p) for p, n in zip(prompts, samples, strict=True) for _ in range(n)]
    decoder.reserve(lengths, steps)
    nothing = torch.arange(0)
    made = [decoder.step(nothing, nothing, prompts, samples).log_softmax(-1)]
    for step in range(1, steps):
        if step == steps // 2:
            rows -= 1
        tokens = torch.from_numpy(random.integers(3, 90, size=sequences))[:rows]
        logits = decoder.step(torch.arange(rows), tokens).log_softmax(-1)
        made.append(torch.nn.functional.pad(logits, (0, 0, 0, sequences - rows)))
    decoder.finish()
    return torch.stack(made)


# Prompts of one token, of a block, of a little more, and of two; of some several sequences.
PROMPTS = [[5], list(range(3, 35)), list(range(20, 60)), list(range(3, 67))]
SAMPLES = [2, 2, 2, 1]


@needs_openvino
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_log_probabilities_are_the_networks(
    pairs: dict[str, tuple[LanguageModel, LanguageModel]], name: str
) -> None:
    """40 steps: past the end of the first block, and of Gemma's window of 8."""
    found, exact = (
        log_probabilities(decoder_of(model), PROMPTS, SAMPLES, 40) for model in pairs[name]
    )
    assert exact.std(dim=(0, 1)).max() > 0.1  # contexts matter
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-4)


@needs_openvino
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_greedy_texts_are_those_of_transformers(
    pairs: dict[str, tuple[LanguageModel, LanguageModel]], name: str, tmp_path: Path
) -> None:
    """Prompts of 1 to 30 tokens; of the six some end, so that rows leave the batch."""
    first, second = pairs[name]
    free = generate(second, SPELLED, LOOSE, work=tmp_path / "free")
    ends = [2, *(int(free[i]["completion"].split()[n][1:]) + 3 for i, n in ((0, 3), (2, 9)))]
    records = []
    for model in (first, second):
        before = model.network.generation_config.eos_token_id
        model.network.generation_config.eos_token_id = ends
        records.append(generate(model, SPELLED, LOOSE, work=tmp_path / model.engine.backend))
        model.network.generation_config.eos_token_id = before
    assert {r["finish_reason"] for r in records[1]} == {"stop", "length"}
    assert records[0] == records[1]


@needs_openvino
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_kept_graph_takes_other_matrices(
    spelled: dict[str, Path], name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same structure, as a student is: it is not traced again."""
    first = load_spelled(spelled[name], OPENVINO)
    decoder_of(first)
    kept = set(cache.glob("graphs/*/graph.xml"))
    monkeypatch.setattr(openvino_graph, "trace", None)
    torch.manual_seed(7)
    second, exact = (load_spelled(spelled[name], e) for e in (OPENVINO, TRANSFORMERS))
    for model in (second, exact):
        torch.manual_seed(7)
        for weight in model.network.parameters():
            if weight.ndim == 2:
                weight.data += 0.1 * torch.randn(weight.shape)
    p, q, before = (
        log_probabilities(decoder_of(model), PROMPTS, SAMPLES, 4)
        for model in (exact, second, first)
    )
    torch.testing.assert_close(q, p, rtol=0, atol=1e-4)
    assert (before - p).abs().max() > 0.1
    assert set(cache.glob("graphs/*/graph.xml")) == kept


def test_a_graph_is_the_same_when_traced_and_when_kept(
    spelled: dict[str, Path], cache: Path
) -> None:
    """A traced graph has notes that a file does not keep, and by which OpenVINO rounds otherwise.

    An int8-quantised student wrote other completions where its job was the one that traced.
    """
    network = load_model(
        spelled["llama"], name="x", prompt_template=PromptTemplate(), dtype="float32"
    ).network
    shutil.rmtree(cache / "graphs", ignore_errors=True)
    traced, kept = (
        [
            (op.get_type_name(), sorted(op.get_rt_info().keys()))
            for op in openvino_graph._graph(network)[0].get_ordered_ops()
        ]
        for _ in range(2)
    )
    assert traced == kept


@needs_openvino
def test_what_is_in_a_kept_graph_decides_its_name(spelled: dict[str, Path], cache: Path) -> None:
    """The norms' weights stay in the graph, and the network's settings shaped it."""
    names = set()
    for change in ("none", "norm", "settings"):
        network = load_spelled(spelled["llama"], AUTO).network
        if change == "norm":
            network.model.norm.weight.data[3] += 1e-3
        if change == "settings":
            network.config.rms_norm_eps *= 2
        names.add(openvino_graph._structure(network))
    assert len(names) == 3


@needs_openvino
def test_bfloat16_is_converted_as_such(spelled: dict[str, Path]) -> None:
    """Its rounding, at least, is not float32's; `OpenVinoDecoder` checks that it is no more."""
    models = [
        load_spelled(spelled["llama"], OPENVINO, dtype=dtype) for dtype in ("bfloat16", "float32")
    ]
    p, q = (log_probabilities(decoder_of(model), PROMPTS, SAMPLES, 4) for model in models)
    assert 1e-4 < (p - q).abs().max() < 0.5
    assert {w.dtype for w in models[0].network.parameters()} == {torch.bfloat16}


@needs_openvino
def test_a_stop_text_ends_and_is_cut(spelled: dict[str, Path], tmp_path: Path) -> None:
    request = Request(1, 24, WRITING, seed=4)
    free = load_spelled(spelled["llama"], OPENVINO)
    (record,) = generate(free, SPELLED[:1], request, work=tmp_path / "free")
    words = record["completion"].split()
    stop = " ".join(words[5:7])
    assert len(words) == 24 and stop not in " ".join(words[:6])
    model = replace(free, prompt_template=PromptTemplate("{prompt}", (stop,)))
    (record,) = generate(model, SPELLED[:1], request, work=tmp_path / "work")
    assert record["completion"] == " ".join(words[:5])
    assert (record["n_tokens"], record["finish_reason"]) == (7, "stop")


@needs_openvino
def test_a_student_generates_with_its_adapter(
    tiny_model: Path, random_adapter: Path, tmp_path: Path
) -> None:
    base, *students = (
        load_model(
            tiny_model,
            name="student",
            prompt_template=PromptTemplate(),
            adapter=adapter,
            dtype="float32",
            engine=engine,
        )
        for adapter, engine in [
            (None, OPENVINO),
            (random_adapter, OPENVINO),
            (random_adapter, TRANSFORMERS),
        ]
    )
    first, second = (
        generate(student, QUESTIONS, LOOSE, work=tmp_path / student.engine.backend)
        for student in students
    )
    assert first == second != generate(base, QUESTIONS, LOOSE, work=tmp_path / "base")


# int8-quantised weights


def test_rounding() -> None:
    """Groups of 32 have scales of their own: the largest number of each becomes 127."""
    matrix = np.zeros((2, 64), dtype=np.float32)
    matrix[0, :3] = [1.0, -0.5, 0.1]
    matrix[0, 40] = -254
    integers, scales = quantise(matrix)
    assert scales[:, :, 0].tolist() == [[np.float32(1 / 127), 2], [1, 1]]
    # 0.5 x 127 is 63.5, which rounds to even; 0.1 x 127 is 12.7.
    assert integers[0, 0, :4].tolist() == [127, -64, 13, 0]
    assert integers[0, 1, 8] == -127 and not integers[1].any()
    # No number is off by more than half a step, of its own group.
    random = np.random.default_rng(0).normal(size=(5, 96)).astype(np.float32)
    integers, scales = quantise(random)
    error = np.abs((integers * scales).reshape(random.shape) - random)
    assert (error.reshape(integers.shape) <= scales / 2 * (1 + 1e-5)).all()
    # 32 does not divide 40: a row is one group.
    assert quantise(np.ones((3, 40), dtype=np.float32))[1].shape == (3, 1, 1)


@needs_openvino
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_int8_differs_little(
    spelled: dict[str, Path],
    pairs: dict[str, tuple[LanguageModel, LanguageModel]],
    name: str,
) -> None:
    """Measured: 0.0018 and 0.0003 nats a token, and never 0."""
    rounded = decoder_of(load_spelled(spelled[name], INT8))
    q, again = (log_probabilities(rounded, PROMPTS, SAMPLES, 40)[:20] for _ in range(2))
    p = log_probabilities(decoder_of(pairs[name][1]), PROMPTS, SAMPLES, 40)[:20]
    divergence = float((p.exp() * (p - q)).sum(-1).mean())
    assert 1e-6 < divergence < 0.005
    assert torch.equal(q, again)


# Which one generates


@pytest.fixture(scope="module")
def unconvertible(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose attention has soft caps."""
    folder = tmp_path_factory.mktemp("gemma2")
    save_spelled(tiny_network("gemma2", attn_logit_softcapping=5.0, **SIZES), folder)
    return folder


@needs_openvino
def test_auto_falls_back_and_says_why(
    unconvertible: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_spelled(unconvertible, AUTO)
    with caplog.at_level(logging.INFO):
        records = generate(model, SPELLED, LOOSE, work=tmp_path / "auto")
    assert isinstance(decoder_of(model), TransformersDecoder)
    assert "x generates with transformers" in caplog.text and "soft caps" in caplog.text
    own = load_spelled(unconvertible, TRANSFORMERS)
    assert generate(own, SPELLED, LOOSE, work=tmp_path / "own") == records


@needs_openvino
@pytest.mark.parametrize("engine", [OPENVINO, INT8, Engine(weights="int8")], ids=str)
def test_what_cannot_be_converted_is_generated_with_transformers(
    unconvertible: Path, tmp_path: Path, engine: Engine
) -> None:
    """Noted, and named in the identity; the completions are transformers' own."""
    model = load_spelled(unconvertible, engine)
    records = generate(model, SPELLED, LOOSE, work=tmp_path / "work")
    assert identity(model) == Transformers().identity(model)
    note = model.notes["generation"]
    assert (
        note.startswith("generated by transformers: it cannot be converted") and "soft caps" in note
    )
    own = load_spelled(unconvertible, TRANSFORMERS)
    assert generate(own, SPELLED, LOOSE, work=tmp_path / "own") == records
    assert own.notes == {}


@needs_openvino
@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_a_model_that_int8_does_not_fit_is_generated_unrounded(
    spelled: dict[str, Path], tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of which int8 is allowed 0 nats, but the unrounded graph its usual 1e-5."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(decoders_openvino._TOLERANCE, "int8", 0.0)
    model = load_spelled(spelled["gemma3"], Engine(backend, "int8"))
    records = generate(model, SPELLED, LOOSE, work=tmp_path / "work")
    exact = load_spelled(spelled["gemma3"], OPENVINO)
    assert generate(exact, SPELLED, LOOSE, work=tmp_path / "exact") == records
    assert identity(model) == identity(exact)
    assert identity(model)["weights"] == "model"
    assert "OpenVINO with weights that are not int8" in model.notes["generation"]
    assert "nats" in model.notes["generation"]
    # Asked once: another job reads the outcome, and converts nothing to read what is finished.
    monkeypatch.setattr(openvino, "_tried", None)
    again = load_spelled(spelled["gemma3"], Engine(backend, "int8"))
    assert generate(again, SPELLED, LOOSE, work=tmp_path / "work") == records
    assert again.notes == model.notes


@needs_openvino
def test_a_graph_that_computes_something_else_is_refused(
    spelled: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its windows Gemma's graph is another model."""
    make = openvino_graph._make_paged
    monkeypatch.setattr(
        openvino_graph, "_make_paged", lambda model, windows: make(model, [0] * len(windows))
    )
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))
    model = load_spelled(spelled["gemma3"], OPENVINO)
    assert isinstance(decoder_of(model), TransformersDecoder)
    assert re.search(r"diverges by .* nats", model.notes["generation"])


@needs_openvino
def test_the_network_is_left_as_it_is(spelled: dict[str, Path]) -> None:
    model = load_spelled(spelled["gemma3"], OPENVINO)
    ids = torch.arange(10, 40)[None]
    with torch.inference_mode():
        before = model.network(ids).logits
        decoder_of(model)
        assert torch.equal(model.network(ids).logits, before)


def test_without_openvino(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(openvino, "installed", lambda: False)
    monkeypatch.setattr("heirloom.generate.backends.auto.installed", lambda: False)
    model = load_model(tiny_model, name="x", prompt_template=PromptTemplate())
    with caplog.at_level(logging.INFO):
        assert identity(model) == Transformers().identity(model)
    assert "OpenVINO is not installed" in caplog.text
    for engine in (OPENVINO, INT8, Engine(weights="int8")):
        with pytest.raises(HeirloomError, match="pip install openvino"):
            require(engine)


@needs_openvino
def test_another_back_end_empties_work(spelled: dict[str, Path], tmp_path: Path) -> None:
    """Completions of one back end or kind of weights are not taken for another's."""
    prompts = [Prompt(f"p{i}", f"w{i:03d}") for i in range(40)]
    request = replace(LOOSE, sampling=WRITING)
    loads: list[Callable[[], LanguageModel]] = [
        lambda: load_spelled(spelled["llama"], TRANSFORMERS),
        lambda: load_spelled(spelled["llama"], INT8),
        lambda: load_spelled(spelled["llama"], OPENVINO),
    ]
    identities = []
    for load in loads:
        generate(load(), prompts[:1], request, work=tmp_path / "shared")
        identities.append((tmp_path / "shared" / "request.sha256").read_text())
    assert len(set(identities)) == 3


@needs_openvino
@pytest.mark.parametrize("engine", [OPENVINO, INT8], ids=str)
def test_what_is_kept_is_read_without_converting(
    spelled: dict[str, Path], tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> tuple[LanguageModel, list[Record]]:
        model = load_spelled(spelled["llama"], engine)
        prompts = [Prompt(f"p{i}", f"w{i:03d}") for i in range(3)]
        return model, generate(model, prompts, LOOSE, work=tmp_path / "work")

    first, made = write()
    monkeypatch.setattr(openvino, "convert", None)
    again, read = write()
    assert read == made
    assert identity(again) == identity(first)


@needs_openvino
def test_no_telemetry(spelled: dict[str, Path]) -> None:
    """OpenVINO's package for it, where it is installed, must not even be imported."""
    decoder_of(load_spelled(spelled["llama"], OPENVINO))
    assert sys.modules["openvino_telemetry"] is None
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
