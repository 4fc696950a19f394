"""The contract of every back end, whatever computes the tokens; `Backend` says it in words."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from spelled_models import QUESTIONS, SAMPLED

from heirloom.generate.backends import BACKENDS, Backend, backend
from heirloom.generate.backends.openvino import installed
from heirloom.generate.completions import generate, identity, require
from heirloom.generate.model import Engine, LanguageModel
from heirloom.generate.request import Completion, Prompt, Request, Sampling
from heirloom.generate.settings import Generate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.plugins import use_plugins

ENGINES = [
    Engine(name, weights) for name in BACKENDS.names() for weights in BACKENDS.get(name).weights
]
Write = Callable[..., list[Record]]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this module's own, for converted graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEIRLOOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def loaded() -> dict[Engine, LanguageModel]:
    return {}


@pytest.fixture(params=ENGINES, ids=lambda engine: f"{engine.backend}-{engine.weights}")
def model(
    request: pytest.FixtureRequest,
    loaded: dict[Engine, LanguageModel],
    load_tiny: Callable[..., LanguageModel],
    vllm_stand_in: Path,
) -> LanguageModel:
    """The tiny model under every back end, with each of its weights; of vLLM, a stand-in."""
    engine = request.param
    if (engine.backend == "openvino" or engine.weights == "int8") and not installed():
        pytest.skip("OpenVINO is not installed")
    if engine not in loaded:
        loaded[engine] = load_tiny(engine.backend, engine.weights)
    return loaded[engine]


@pytest.fixture(scope="module")
def kept() -> dict[Engine, list[Record]]:
    return {}


@pytest.fixture
def sampled(model: LanguageModel, kept: dict[Engine, list[Record]], tmp_path: Path) -> list[Record]:
    """Five samples of each question, in one batch."""
    if model.engine not in kept:
        kept[model.engine] = generate(model, QUESTIONS, SAMPLED, work=tmp_path / "sampled")
    return kept[model.engine]


def test_records_are_complete_and_in_order(sampled: list[Record]) -> None:
    assert [(r["prompt_id"], r["sample"]) for r in sampled] == [
        (prompt.id, sample) for prompt in QUESTIONS for sample in range(5)
    ]
    fields = ["prompt_id", "sample", "completion", "n_tokens", "finish_reason"]
    assert all(list(record) == fields for record in sampled)
    assert all(1 <= record["n_tokens"] <= 24 for record in sampled)
    assert {record["finish_reason"] for record in sampled} <= {"stop", "length"}
    assert all(r["completion"] == r["completion"].strip() for r in sampled)
    assert len({r["completion"] for r in sampled}) > 30


# 1: one sample at a time, so that samples that share a prefill equal those that do not; 3: a
# prompt's samples in two batches; 10: two prompts per batch.
@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_batch_size_changes_no_completion(
    model: LanguageModel, sampled: list[Record], tmp_path: Path, batch_size: int
) -> None:
    request = replace(SAMPLED, batch_size=batch_size)
    assert generate(model, QUESTIONS, request, work=tmp_path / "work") == sampled


def test_neighbours_and_order_change_no_completion(
    model: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    """A subset of the prompts in another order: other batches, other padding."""
    some = [QUESTIONS[4], QUESTIONS[0], QUESTIONS[5]]
    records = generate(model, some, SAMPLED, work=tmp_path / "work")
    assert records == [r for p in some for r in sampled if r["prompt_id"] == p.id]


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_together_are_the_whole(
    model: LanguageModel, sampled: list[Record], tmp_path: Path, shards: int
) -> None:
    request = replace(SAMPLED, batch_size=1)
    shares = [
        generate(model, QUESTIONS, request, work=tmp_path / "work", shard=shard, shards=shards)
        for shard in range(shards)
    ]
    assert all(shares)
    together = {(r["prompt_id"], r["sample"]): r for share in shares for r in share}
    assert len(together) == sum(map(len, shares)) == len(sampled)
    assert [together[r["prompt_id"], r["sample"]] for r in sampled] == sampled


def test_fewer_samples_are_the_first_of_more(
    model: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    two = generate(model, QUESTIONS, replace(SAMPLED, samples=2), work=tmp_path / "work")
    assert two == [r for r in sampled if r["sample"] < 2]


def test_the_seed_changes_the_completions(
    model: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    other = generate(model, QUESTIONS, replace(SAMPLED, seed=18), work=tmp_path / "work")
    same = sum(a["completion"] == b["completion"] for a, b in zip(other, sampled, strict=True))
    assert same <= 3  # by chance, completions that end at once


def test_what_is_finished_is_not_generated_again(
    model: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    """By a run that was killed after one of two shards, and by one with another number of them."""
    work, request = tmp_path / "work", replace(SAMPLED, batch_size=1)

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in work.glob("*.jsonl")}

    generate(model, QUESTIONS, request, work=work, shard=0, shards=2)
    half = files()
    assert half
    assert generate(model, QUESTIONS, request, work=work) == sampled
    whole = files()
    assert half.items() < whole.items()
    assert generate(model, QUESTIONS, request, work=work) == sampled
    for shard in range(3):
        generate(model, QUESTIONS, request, work=work, shard=shard, shards=3)
    assert files() == whole


@pytest.mark.parametrize(
    ("prompts", "changes"),
    [
        (QUESTIONS, {"seed": 18}),
        (QUESTIONS, {"max_new_tokens": 23}),
        (QUESTIONS, {"sampling": Sampling(0.9, 50)}),
        (QUESTIONS[:6], {}),
        ([Prompt("q0", "Name a tree."), *QUESTIONS[1:]], {}),
    ],
    ids=["seed", "length", "temperature", "fewer prompts", "another text"],
)
def test_another_request_is_generated_anew(
    model: LanguageModel, tmp_path: Path, prompts: list[Prompt], changes: dict[str, Any]
) -> None:
    before = replace(SAMPLED, samples=1)
    request = replace(before, **changes)
    generate(model, QUESTIONS, before, work=tmp_path / "work")
    fresh = generate(model, prompts, request, work=tmp_path / "fresh")
    assert generate(model, prompts, request, work=tmp_path / "work") == fresh


def test_a_prompt_that_does_not_fit_is_recorded(
    model: LanguageModel, sampled: list[Record], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = [QUESTIONS[0], Prompt("long", "word " * 400), QUESTIONS[1]]
    request = replace(SAMPLED, samples=2)
    records = generate(model, prompts, request, work=tmp_path / "work")
    too_long = [Completion("long", sample, None, 0, "too_long").record() for sample in (0, 1)]
    assert records == [*sampled[0:2], *too_long, *sampled[5:7]]
    assert "long is left out" in caplog.text and "q0" not in caplog.text
    shares = [
        generate(model, prompts, request, work=tmp_path / "shards", shard=shard, shards=2)
        for shard in (0, 1)
    ]
    assert sorted(shares[0] + shares[1], key=str) == sorted(records, key=str)


def test_no_prompts(model: LanguageModel, tmp_path: Path) -> None:
    assert generate(model, [], SAMPLED, work=tmp_path / "work") == []


def test_an_identity_is_plain_and_names_the_back_end(model: LanguageModel) -> None:
    found = dict(identity(model))
    assert json.loads(json.dumps(found)) == found
    assert found["weights"] == model.engine.weights
    assert model.engine.backend in ("auto", found["backend"])


@pytest.mark.parametrize("name", BACKENDS.names())
def test_weights_that_it_cannot_compute_with_are_refused(name: str) -> None:
    assert isinstance(BACKENDS.get(name), Backend)
    assert Generate.model_json_schema()["properties"]["backend"]["enum"] == BACKENDS.names()
    if "int8" not in BACKENDS.get(name).weights:
        message = f"weights: int8 is not possible with.* {name}: set backend to auto or openvino"
        with pytest.raises(ValidationError, match=message):
            Generate(backend=name, weights="int8")
        with pytest.raises(HeirloomError, match=message):
            require(Engine(name, "int8"))


# From outside the repository

PLUGIN = """
from heirloom.generate.backends import Backend, backend
from heirloom.generate.request import Completion


@backend("echo")
class Echo(Backend):
    def require(self, weights):
        pass

    def identity(self, model):
        return {"backend": "echo", "weights": "model"}

    def generate(self, model, prompts, request, *, work, shard, shards):
        return [
            Completion(prompt.id, sample, f"{prompt.text} {sample}", 1, "stop")
            for prompt in reversed(prompts[shard::shards])
            for sample in range(request.samples)
        ]
"""


def test_a_back_end_of_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_tiny: Callable[..., LanguageModel]
) -> None:
    for registered in ("_components", "_sources"):  # so that other tests do not see it
        monkeypatch.setattr(BACKENDS, registered, {**getattr(BACKENDS, registered)})
    (tmp_path / "my_backends.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HEIRLOOM_PLUGINS", "")
    use_plugins(["my_backends"])
    settings = Generate(backend="echo")
    assert "echo" in Generate.model_json_schema()["properties"]["backend"]["enum"]
    assert BACKENDS.source("echo") == tmp_path / "my_backends.py"
    model = load_tiny(settings.engine.backend)
    records = generate(model, QUESTIONS, Request(2, 8, Sampling(), 1), work=tmp_path / "work")
    assert [r["completion"] for r in records[:3]] == [
        "Name a colour. 0",
        "Name a colour. 1",
        f"{QUESTIONS[1].text} 0",
    ]


def test_a_class_that_is_no_back_end_is_refused() -> None:
    with pytest.raises(HeirloomError, match=r"'half' .*lacks something"):

        @backend("half")
        class Half:
            def require(self, weights: Any) -> None:
                """Nothing."""


def test_a_block_of_reasoning_that_is_never_closed_has_no_answer(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model closes no block that its template opens."""
    template = f"{model.tokenizer.chat_template}<think>\n"
    monkeypatch.setattr(model.tokenizer, "chat_template", template)
    request = replace(SAMPLED, samples=2, max_new_tokens=6)
    records = generate(model, QUESTIONS[:1], request, work=tmp_path / "work")
    assert [(not r["completion"], bool(r["reasoning"])) for r in records] == [(True, True)] * 2
    assert all(r["n_tokens"] for r in records)  # those of the reasoning count
