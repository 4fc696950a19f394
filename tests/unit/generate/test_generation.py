"""Generation: the same tokens as transformers, whatever the batch, the shard and the restart."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from heirloom.generate.completions import generate
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import Record, read_jsonl, write_jsonl

GREEDY = Sampling(temperature=0)
WRITING = Sampling(top_k=10)
N_WORDS = 93

# Of 1 to 30 tokens and in no order of length: w000 w001 w002 ... after one another.
LENGTHS = (9, 1, 14, 3, 30, 20)
SPELLED = [
    Prompt(f"p{n}", " ".join(f"w{(7 * n + 5 * i) % N_WORDS:03d}" for i in range(n)))
    for n in LENGTHS
]


def save_spelled(network: Any, folder: Path) -> None:
    """Save a model with a tokenizer of whole words, so that a text tells its tokens exactly."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"]
    vocabulary = [*special, *(f"w{i:03d}" for i in range(N_WORDS))]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<pad>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    # The special tokens' logits are 0, and there is always a word above that: none is written.
    network.lm_head.weight.data[: len(special)] = 0
    network.save_pretrained(folder)


SIZES: dict[str, Any] = {
    "vocab_size": N_WORDS + 3,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, **SIZES))


def gemma3() -> Any:
    """Two layers that see 8 tokens back and one that sees all, as in Gemma 3."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(
        num_hidden_layers=3,
        head_dim=16,
        sliding_window=8,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        **SIZES,
    )
    return Gemma3ForCausalLM(config)


@pytest.fixture(scope="session")
def spelled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a llama and a Gemma 3 whose tokens are words."""
    folders = {}
    for name, make in (("llama", llama), ("gemma3", gemma3)):
        torch.manual_seed(1)
        folders[name] = tmp_path_factory.mktemp(name)
        save_spelled(make(), folders[name])
    return folders


@pytest.fixture
def load_spelled(spelled: dict[str, Path]) -> Callable[..., LanguageModel]:
    """Load one of them, by default without stop texts."""

    def load(name: str = "llama", stop: tuple[str, ...] = ()) -> LanguageModel:
        template = PromptTemplate("{prompt}", stop)
        return load_model(
            spelled[name],
            name=name,
            prompt_template=template,
            dtype="float32",
            backend="transformers",
        )

    return load


@pytest.fixture(scope="session")
def tiny(load_tiny: Callable[..., LanguageModel]) -> LanguageModel:
    """The tiny model, run by transformers."""
    return load_tiny(backend="transformers")


QUESTIONS = [
    Prompt(f"q{i}", text)
    for i, text in enumerate(
        [
            "Name a colour.",
            "Suggest five names for a small bakery that specialises in sourdough bread.",
            "Why?",
            "Think of a few ways to reuse empty glass jars around the home.",
            "List three birds.",
            "What is the capital of France, and how many people live there?",
            "Write a haiku.",
        ]
    )
]
SAMPLED = Request(samples=5, max_new_tokens=24, sampling=Sampling(1.0, 50), seed=17, batch_size=80)


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
        backend="transformers",
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
    request = Request(1, 24, GREEDY, seed=0, batch_size=6)
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
    load_spelled: Callable[..., LanguageModel], name: str, tmp_path: Path
) -> None:
    """All of one batch: padded on the left, past the window, and with rows dropped as they end."""
    model = load_spelled(name)
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


def test_the_window_matters(load_spelled: Callable[..., LanguageModel]) -> None:
    """Without the window Gemma writes something else, so the test above sees the window."""
    model = load_spelled("gemma3")
    request = Request(1, 24, GREEDY, seed=0, format="continuation")
    with_window = reference(model, SPELLED, request)
    model.network.config.sliding_window = 64
    for layer in model.network.model.layers:
        layer.self_attn.sliding_window = 64
    assert reference(model, SPELLED, request) != with_window


# Sampling: what the text does not depend on


@pytest.fixture(scope="session")
def sampled(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Five samples of each question, in one batch."""
    return generate(tiny, QUESTIONS, SAMPLED, work=tmp_path_factory.mktemp("sampled") / "work")


def test_records_are_complete_and_in_order(sampled: list[Record]) -> None:
    assert [(r["prompt_id"], r["sample"]) for r in sampled] == [
        (prompt.id, sample) for prompt in QUESTIONS for sample in range(5)
    ]
    assert all(
        list(r) == ["prompt_id", "sample", "completion", "n_tokens", "finish_reason"]
        for r in sampled
    )
    # 30 of 300 tokens end a text, so of 35 texts of up to 24 tokens some end and some do not.
    assert {r["finish_reason"] for r in sampled} == {"stop", "length"}
    assert all(r["n_tokens"] == 24 for r in sampled if r["finish_reason"] == "length")
    assert len({r["n_tokens"] for r in sampled}) > 5
    assert len({r["completion"] for r in sampled}) > 30


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_batch_size_changes_no_text(
    tiny: LanguageModel, sampled: list[Record], tmp_path: Path, batch_size: int
) -> None:
    """1: a sample at a time; 3: a prompt's samples in two batches; 10: two prompts a batch."""
    request = replace(SAMPLED, batch_size=batch_size)
    assert generate(tiny, QUESTIONS, request, work=tmp_path / "work") == sampled


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_change_no_text(
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


def test_fewer_samples_are_the_first_of_more(
    tiny: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    two = generate(tiny, QUESTIONS, replace(SAMPLED, samples=2), work=tmp_path / "work")
    assert two == [r for r in sampled if r["sample"] < 2]


def test_neighbours_change_no_text(
    tiny: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    """A subset of the prompts in another order: other batches, other padding, the same texts."""
    some = [QUESTIONS[4], QUESTIONS[0], QUESTIONS[5]]
    records = generate(tiny, some, SAMPLED, work=tmp_path / "work")
    assert records == [r for p in some for r in sampled if r["prompt_id"] == p.id]


def test_the_seed_changes_the_texts(
    tiny: LanguageModel, sampled: list[Record], tmp_path: Path
) -> None:
    other = generate(tiny, QUESTIONS, replace(SAMPLED, seed=18), work=tmp_path / "work")
    same = sum(a["completion"] == b["completion"] for a, b in zip(other, sampled, strict=True))
    assert same <= 3  # by chance, texts that end at once


# Stop texts


@pytest.fixture
def written(load_spelled: Callable[..., LanguageModel], tmp_path: Path) -> list[str]:
    """24 words that the llama writes after the first prompt when nothing stops it."""
    request = Request(1, 24, WRITING, seed=4)
    (record,) = generate(load_spelled(), SPELLED[:1], request, work=tmp_path / "unstopped")
    words = record["completion"].split()
    assert len(words) == 24
    return list(words)


def test_a_stop_text_ends_and_is_cut(
    load_spelled: Callable[..., LanguageModel], written: list[str], tmp_path: Path
) -> None:
    # Two words that are first written as words 6 and 7; what comes before them is left.
    stop = " ".join(written[5:7])
    assert stop not in " ".join(written[:6])
    model = load_spelled(stop=("never", stop))
    request = Request(1, 24, WRITING, seed=4)
    (record,) = generate(model, SPELLED[:1], request, work=tmp_path / "work")
    assert record["completion"] == " ".join(written[:5])
    assert (record["n_tokens"], record["finish_reason"]) == (7, "stop")


def test_the_first_of_two_stop_texts_counts(
    load_spelled: Callable[..., LanguageModel], written: list[str], tmp_path: Path
) -> None:
    """Both are complete with word 7, and the one that starts earlier is where the text ends."""
    stops = (" ".join(written[5:7]), " ".join(written[3:7]))
    model = load_spelled(stop=stops)
    request = Request(1, 24, WRITING, seed=4)
    (record,) = generate(model, SPELLED[:1], request, work=tmp_path / "work")
    assert record["completion"] == " ".join(written[:3])


def test_a_stop_text_is_cut_from_a_continuation(
    load_spelled: Callable[..., LanguageModel], written: list[str], tmp_path: Path
) -> None:
    model = load_spelled(stop=(" ".join(written[5:7]),))
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
    load_spelled: Callable[..., LanguageModel], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The context is 64: with 24 new tokens a prompt may have 40, and not 41."""
    fits, not_quite = (Prompt(f"n{n}", " ".join(["w001"] * n)) for n in (40, 41))
    request = Request(2, 24, Sampling(), seed=0, format="continuation")
    records = generate(load_spelled(), [not_quite, fits], request, work=tmp_path / "work")
    assert records[:2] == [
        {
            "prompt_id": "n41",
            "sample": sample,
            "completion": "",
            "n_tokens": 0,
            "finish_reason": "too_long",
        }
        for sample in (0, 1)
    ]
    assert [r["finish_reason"] in ("stop", "length") for r in records[2:]] == [True, True]
    assert all(r["n_tokens"] > 0 for r in records[2:])
    assert "n41" in caplog.text and "41 tokens" in caplog.text and "n40" not in caplog.text


def test_no_prompts(tiny: LanguageModel, tmp_path: Path) -> None:
    assert generate(tiny, [], SAMPLED, work=tmp_path / "work") == []


# Going on after a kill

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


@pytest.mark.parametrize(
    ("prompts", "request_"),
    [
        (QUESTIONS, replace(FOUR_A_PART, seed=18)),
        (QUESTIONS, replace(FOUR_A_PART, max_new_tokens=23)),
        (QUESTIONS, replace(FOUR_A_PART, sampling=Sampling(0.9, 50))),
        (QUESTIONS[:6], FOUR_A_PART),
        ([Prompt("q0", "Name a tree."), *QUESTIONS[1:]], FOUR_A_PART),
    ],
    ids=["seed", "length", "temperature", "fewer prompts", "another text"],
)
def test_another_request_empties_work(
    tiny: LanguageModel, tmp_path: Path, prompts: list[Prompt], request_: Request
) -> None:
    work = tmp_path / "work"
    generate(tiny, QUESTIONS, FOUR_A_PART, work=work)
    for part in work.glob("part-*.jsonl"):
        tamper(part)
    fresh = generate(tiny, prompts, request_, work=tmp_path / "fresh")
    assert generate(tiny, prompts, request_, work=work) == fresh


def test_another_model_empties_work(
    load_spelled: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    request = Request(1, 8, Sampling(), seed=0, format="continuation")
    texts = {}
    for name in ("llama", "gemma3"):
        texts[name] = generate(load_spelled(name), SPELLED, request, work=tmp_path / "shared")
        own = generate(load_spelled(name), SPELLED, request, work=tmp_path / name)
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
            backend="transformers",
        )
        texts.append(generate(student, QUESTIONS, request, work=tmp_path / "work"))
        own = generate(student, QUESTIONS, request, work=tmp_path / f"own{seed}")
        assert texts[-1] == own
    assert texts[0] != texts[1]
