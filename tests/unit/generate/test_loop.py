"""The decoding loop: the tokens of transformers, stop texts, and parts that are kept.

What holds for every back end is in test_contract.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from spelled_models import GREEDY, QUESTIONS, SAMPLED, SPELLED, WRITING, load_spelled

from heirloom.generate.completions import generate
from heirloom.generate.model import Engine, LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import Record, read_jsonl, write_jsonl


@pytest.fixture
def load(spelled: dict[str, Path]) -> Callable[..., LanguageModel]:
    """Load a model whose tokens are words, by default the llama without stop texts."""

    def load(name: str = "llama", stop: tuple[str, ...] = ()) -> LanguageModel:
        return load_spelled(spelled[name], Engine("transformers"), stop)

    return load


@pytest.fixture(scope="module")
def tiny(load_tiny: Callable[..., LanguageModel]) -> LanguageModel:
    """The tiny model, run by transformers."""
    return load_tiny("transformers")


@pytest.fixture(scope="module")
def sampled(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Five samples of each question, in one batch."""
    return generate(tiny, QUESTIONS, SAMPLED, work=tmp_path_factory.mktemp("sampled") / "work")


def reference(model: LanguageModel, prompts: Sequence[Prompt], request: Request) -> list[list[int]]:
    """Tokens that transformers generates greedily, one prompt at a time."""
    made = []
    for prompt in prompts:
        ids = torch.tensor([model.encode_prompt(prompt.text, request.format)])
        output = model.network.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=request.max_new_tokens,
            pad_token_id=model.tokenizer.pad_token_id,
        )
        made.append(output[0, ids.shape[1] :].tolist())
    return made


# Greedy, against transformers


@pytest.fixture(scope="module")
def smol(smollm2: Path) -> LanguageModel:
    """SmolLM2 in float32."""
    return load_model(
        smollm2,
        name="smol",
        prompt_template=PromptTemplate(),
        dtype="float32",
        engine=Engine("transformers"),
    )


def test_greedy_smollm2_is_that_of_transformers(smol: LanguageModel, tmp_path: Path) -> None:
    """Six prompts of six lengths: padded in one batch, and in three."""
    prompts = [
        Prompt("one", "Why?"),
        Prompt("two", QUESTIONS[1].text),
        Prompt("three", "Write a short and cheerful sentence about the rain in spring."),
        Prompt("four", "Write a sentence about rain."),
        Prompt("five", " ".join(question.text for question in QUESTIONS)),
        Prompt("six", QUESTIONS[5].text),
    ]
    assert len({len(smol.encode_prompt(p.text, "instruction")) for p in prompts}) == 6
    request = Request(1, 12, GREEDY, seed=0, batch_size=6)
    expected = [
        {
            "prompt_id": prompt.id,
            "sample": 0,
            "completion": smol.tokenizer.decode(tokens, skip_special_tokens=True).strip(),
            "n_tokens": len(tokens),
            "finish_reason": "stop" if tokens[-1] == smol.tokenizer.eos_token_id else "length",
        }
        for prompt, tokens in zip(prompts, reference(smol, prompts, request), strict=True)
    ]
    assert generate(smol, prompts, request, work=tmp_path / "six") == expected
    pairs = replace(request, batch_size=2)
    assert generate(smol, prompts, pairs, work=tmp_path / "two") == expected


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_greedy_tokens_are_those_of_transformers(
    load: Callable[..., LanguageModel], name: str, tmp_path: Path
) -> None:
    """All of one batch: padded on the left, past the window, and with rows dropped as they end."""
    model = load(name)
    request = Request(1, 24, GREEDY, seed=0, format="continuation")
    without_end = reference(model, SPELLED, request)
    # Ends for three of the six, soon, later and late: rows leave the batch in between.
    model.network.generation_config.eos_token_id = [
        2,
        without_end[0][3],
        without_end[2][9],
        without_end[4][15],
    ]
    expected = reference(model, SPELLED, request)
    lengths = sorted(len(tokens) for tokens in expected)
    assert lengths[0] <= 4 and lengths[-1] == 24 and len(set(lengths)) >= 3

    records = generate(model, SPELLED, request, work=tmp_path / "work")
    ends = model.end_tokens
    for record, tokens in zip(records, expected, strict=True):
        words = [f"w{token - 3:03d}" for token in tokens if token not in ends]
        assert record["completion"].split() == words
        assert record["n_tokens"] == len(tokens)
        assert record["finish_reason"] == ("stop" if tokens[-1] in ends else "length")


@pytest.mark.parametrize("stop", [(), ("w052", "w017")])
@pytest.mark.parametrize("ahead", [3, 100])
def test_steps_ahead_change_no_byte(
    load: Callable[..., LanguageModel],
    stop: tuple[str, ...],
    ahead: int,
    tmp_path: Path,
) -> None:
    """As on a GPU: the ends of sequences are looked for after several steps."""
    request = Request(3, 21, Sampling(1.0, 12), seed=4, format="continuation", batch_size=7)
    model = load(stop=stop)
    model.network.generation_config.eos_token_id = [2, 5, 6, 7]
    at_once = generate(model, SPELLED, request, work=tmp_path / "one")
    assert {record["finish_reason"] for record in at_once} == {"stop", "length"}
    assert len({record["n_tokens"] for record in at_once}) > 5

    decoder, _ = model.keep("transformers", lambda: None)  # the one that was made
    decoder.run_ahead = ahead
    assert generate(model, SPELLED, request, work=tmp_path / "ahead") == at_once


def test_the_window_matters(load: Callable[..., LanguageModel]) -> None:
    """Without the window Gemma writes something else, so the test above sees the window."""
    model = load("gemma3")
    request = Request(1, 24, GREEDY, seed=0, format="continuation")
    with_window = reference(model, SPELLED, request)
    model.network.config.sliding_window = 64
    for layer in model.network.model.layers:
        layer.self_attn.sliding_window = 64
    assert reference(model, SPELLED, request) != with_window


def test_some_end_by_themselves_and_some_are_truncated(sampled: list[Record]) -> None:
    # 30 of 300 tokens end a text, so of 35 texts of up to 24 tokens some end and some do not.
    assert {r["finish_reason"] for r in sampled} == {"stop", "length"}
    assert all(r["n_tokens"] == 24 for r in sampled if r["finish_reason"] == "length")
    assert len({r["n_tokens"] for r in sampled}) > 5


# Shards


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_share_the_parts(
    tiny: LanguageModel, sampled: list[Record], tmp_path: Path, shards: int
) -> None:
    # Parts of four sequences: 9 parts, so that 5 shards do 2, 2, 2, 2 and 1 of them.
    request = replace(SAMPLED, batch_size=1)
    parts = [
        generate(tiny, QUESTIONS, request, work=tmp_path / str(shard), shard=shard, shards=shards)
        for shard in range(shards)
    ]
    # 35 sequences in 9 parts are 8 parts of four and one of three, the last.
    assert [len(part) for part in parts] == {2: [19, 16], 5: [8, 8, 8, 7, 4]}[shards]
    together = {(r["prompt_id"], r["sample"]): r for part in parts for r in part}
    assert [together[r["prompt_id"], r["sample"]] for r in sampled] == sampled
    assert len(together) == sum(map(len, parts)) == len(sampled)


def test_more_shards_than_parts(tiny: LanguageModel, sampled: list[Record], tmp_path: Path) -> None:
    parts = [
        generate(tiny, QUESTIONS, SAMPLED, work=tmp_path / str(shard), shard=shard, shards=3)
        for shard in range(3)
    ]
    assert parts == [sampled, [], []]  # 35 sequences are one part


# Stop texts


@pytest.fixture
def written(load: Callable[..., LanguageModel], tmp_path: Path) -> list[str]:
    """24 words that the llama writes after the first prompt when nothing stops it."""
    request = Request(1, 24, WRITING, seed=4)
    (record,) = generate(load(), SPELLED[:1], request, work=tmp_path / "unstopped")
    words = record["completion"].split()
    assert len(words) == 24
    return list(words)


def test_a_stop_text_ends_and_is_cut(
    load: Callable[..., LanguageModel], written: list[str], tmp_path: Path
) -> None:
    # Two words that are first written as words 6 and 7; what comes before them is left.
    stop = " ".join(written[5:7])
    assert stop not in " ".join(written[:6])
    model = load(stop=("never", stop))
    request = Request(1, 24, WRITING, seed=4)
    (record,) = generate(model, SPELLED[:1], request, work=tmp_path / "work")
    assert record["completion"] == " ".join(written[:5])
    assert (record["n_tokens"], record["finish_reason"]) == (7, "stop")


def test_the_first_of_two_stop_texts_counts(
    load: Callable[..., LanguageModel], written: list[str], tmp_path: Path
) -> None:
    """Both are complete with word 7, and the one that starts earlier is where the text ends."""
    stops = (" ".join(written[5:7]), " ".join(written[3:7]))
    model = load(stop=stops)
    request = Request(1, 24, WRITING, seed=4)
    (record,) = generate(model, SPELLED[:1], request, work=tmp_path / "work")
    assert record["completion"] == " ".join(written[:3])


def test_a_stop_text_is_cut_from_a_continuation(
    load: Callable[..., LanguageModel], written: list[str], tmp_path: Path
) -> None:
    model = load(stop=(" ".join(written[5:7]),))
    # The template is the bare prompt, so that both formats write the same words.
    request = Request(1, 24, WRITING, seed=4, format="continuation")
    (record,) = generate(model, SPELLED[:1], request, work=tmp_path / "work")
    assert record["n_tokens"] == 7
    assert record["completion"].strip() == " ".join(written[:5])


def test_a_continuation_keeps_the_space_before_it(smol: LanguageModel, tmp_path: Path) -> None:
    prompt = Prompt("p", "Once upon a time, there")
    request = Request(1, 6, GREEDY, seed=0, format="continuation")
    (tokens,) = reference(smol, [prompt], request)
    whole = smol.tokenizer.decode(smol.tokenizer(prompt.text).input_ids + tokens)
    (record,) = generate(smol, [prompt], request, work=tmp_path / "work")
    assert record["completion"].startswith(" ")
    assert prompt.text + record["completion"] == whole.removeprefix("<s>").rstrip()


# Prompts that do not fit, and none at all


def test_a_prompt_that_does_not_fit_is_recorded(
    load: Callable[..., LanguageModel], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The context is 64: with 24 new tokens a prompt may have 40, and not 41."""
    fits, not_quite = (Prompt(f"n{n}", " ".join(["w001"] * n)) for n in (40, 41))
    request = Request(2, 24, Sampling(), seed=0, format="continuation")
    records = generate(load(), [not_quite, fits], request, work=tmp_path / "work")
    assert records[:2] == [
        {
            "prompt_id": "n41",
            "sample": sample,
            "completion": None,
            "n_tokens": 0,
            "finish_reason": "too_long",
        }
        for sample in (0, 1)
    ]
    assert [r["finish_reason"] in ("stop", "length") for r in records[2:]] == [True, True]
    assert all(r["n_tokens"] > 0 for r in records[2:])
    assert "n41" in caplog.text and "41 tokens" in caplog.text and "n40" not in caplog.text


# Parts

FOUR_A_PART = replace(SAMPLED, batch_size=1)


def tamper(path: Path) -> tuple[str, int]:
    """Change the first completion of a finished part; a part generated anew would undo it."""
    records = read_jsonl(path)
    records[0]["completion"] = "written before the kill"
    write_jsonl(path, records)
    return records[0]["prompt_id"], records[0]["sample"]


def test_finished_parts_are_not_generated_again(
    tiny: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert generate(tiny, QUESTIONS, FOUR_A_PART, work=work) == sampled
    parts = sorted(work.glob("part-*.jsonl"))
    assert len(parts) == 9
    kept = tamper(parts[2])
    for part in (parts[0], parts[4]):
        part.unlink()
    again = generate(tiny, QUESTIONS, FOUR_A_PART, work=work)
    changed = [r for r, before in zip(again, sampled, strict=True) if r != before]
    assert [(r["prompt_id"], r["sample"]) for r in changed] == [kept]
    assert changed[0]["completion"] == "written before the kill"
    assert sorted(work.glob("part-*.jsonl")) == parts


def test_another_model_empties_work(load: Callable[..., LanguageModel], tmp_path: Path) -> None:
    request = Request(1, 8, Sampling(), seed=0, format="continuation")
    texts = {}
    for name in ("llama", "gemma3"):
        texts[name] = generate(load(name), SPELLED, request, work=tmp_path / "shared")
        own = generate(load(name), SPELLED, request, work=tmp_path / name)
        assert texts[name] == own
    assert texts["llama"] != texts["gemma3"]


def test_another_adapter_empties_work(tiny_model: Path, tmp_path: Path) -> None:
    """A student that is trained anew must not keep parts of its former self."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    request = Request(1, 8, GREEDY, seed=0)
    texts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        adapted = get_peft_model(
            AutoModelForCausalLM.from_pretrained(tiny_model),
            LoraConfig(target_modules="all-linear", init_lora_weights=False),
        )
        adapted.save_pretrained(tmp_path / "adapter")
        student = load_model(
            tiny_model,
            name="student",
            prompt_template=PromptTemplate(),
            adapter=tmp_path / "adapter",
            dtype="float32",
            engine=Engine("transformers"),
        )
        texts.append(generate(student, QUESTIONS, request, work=tmp_path / "work"))
        own = generate(student, QUESTIONS, request, work=tmp_path / f"own{seed}")
        assert texts[-1] == own
    assert texts[0] != texts[1]
