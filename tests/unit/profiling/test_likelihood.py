"""Likelihoods: against one plain forward pass a sequence, whatever is packed with what."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny import tiny_network
from tokenizers import processors

from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.generate.tokens import guard
from heirloom.profiling.engines import likelihood, trees
from heirloom.profiling.engines.likelihood import (
    Likelihood,
    TokenSequence,
    encode_option,
    encode_text,
    score,
)

TEXTS = [
    ("The cat sat on", [" the mat.", " the moon.", " the mat today."]),
    ("Water boils at", [" a hundred degrees.", " noon."]),
    ("", ["No context at all."]),
    ("A context that ends in a space ", ["and its option"]),
]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


@pytest.fixture(scope="module")
def groups(model: LanguageModel) -> list[list[TokenSequence | None]]:
    return [[encode_option(model, c, o) for o in options] for c, options in TEXTS]


def plainly(model: LanguageModel, sequence: TokenSequence) -> float:
    """One sequence, one forward pass, softmax over every position."""
    tokens = torch.tensor([sequence.tokens])
    with torch.inference_mode():
        logits = model.network(input_ids=tokens, use_cache=False).logits.float().log_softmax(-1)
    scores = logits[0, :-1].gather(1, tokens[0, 1:, None])[:, 0]
    return float(scores[sequence.start - 1 :].sum())


# Values


@pytest.mark.parametrize("batch_tokens", [1, 40, 1000])
def test_packed_sequences_score_as_alone(
    model: LanguageModel,
    groups: list[list[TokenSequence | None]],
    batch_tokens: int,
    tmp_path: Path,
) -> None:
    found = score(model, groups, work=tmp_path / "work", batch_tokens=batch_tokens)
    for group, likelihoods in zip(groups, found, strict=True):
        for sequence, value in zip(group, likelihoods, strict=True):
            assert sequence is not None
            assert value.n_tokens == len(sequence.tokens) - sequence.start
            assert value.total == pytest.approx(plainly(model, sequence), abs=1e-4)


def test_a_model_with_a_sliding_window(tiny_model: Path, tmp_path: Path) -> None:
    """Gemma 3 attends to 8 tokens in one layer and to all in the other."""
    tiny = load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")
    network = tiny_network("gemma3", layer_types=["sliding_attention", "full_attention"])
    model = LanguageModel("gemma", network, tiny.tokenizer, PromptTemplate())
    groups = [[encode_option(model, c, o) for o in options] for c, options in TEXTS]
    found = score(model, groups, work=tmp_path / "work")
    assert (
        max(len(s.tokens) for group in groups for s in group if s)
        > 2 * network.config.sliding_window
    )
    for group, likelihoods in zip(groups, found, strict=True):
        for sequence, value in zip(group, likelihoods, strict=True):
            assert sequence is not None
            assert value.total == pytest.approx(plainly(model, sequence), abs=1e-4)


def test_a_model_that_takes_no_positions_is_scored_a_sequence_a_pass(
    model: LanguageModel,
    groups: list[list[TokenSequence | None]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(likelihood, "_attends_freely", lambda model: False)
    found = score(model, groups, work=tmp_path / "work")
    for group, likelihoods in zip(groups, found, strict=True):
        for sequence, value in zip(group, likelihoods, strict=True):
            assert sequence is not None
            assert value.total == pytest.approx(plainly(model, sequence), abs=1e-4)


def test_a_shared_prefix_is_computed_once() -> None:
    """abcd and abef, the last of each predicted only: the nodes a, b, c and e."""
    pair = [TokenSequence((1, 2, 3, 4), 1), TokenSequence((1, 2, 5, 6), 2)]
    forest = trees.plant([(0, pair[0]), (0, pair[1])])
    assert forest.tokens == [1, 2, 3, 5]
    assert forest.depths == [0, 1, 2, 2]
    assert forest.ancestors == [[0], [0, 1], [0, 1, 2], [0, 1, 3]]
    # (sequence, predicting node, token): all but a for the first; from the third on for the second.
    assert forest.targets == [(0, 0, 2), (0, 1, 3), (0, 2, 4), (1, 1, 5), (1, 3, 6)]
    assert trees.size(pair) == 4
    # Groups share nothing.
    assert len(trees.plant([(0, pair[0]), (1, pair[1])]).tokens) == 6


def test_rows_are_filled_and_hold_every_group_once() -> None:
    sizes = {0: 60, 1: 30, 2: 100, 3: 45, 4: 10, 5: 300}
    rows = likelihood._fill({i: (n, [0]) for i, n in sizes.items()}, 100)
    # Largest first: 300 alone although too large, 100, 60, 45; then 30 and 10 beside the 60.
    assert [[index for index, _ in row] for row in rows] == [[5], [2], [0, 1, 4], [3]]


# Encoding


def test_white_space_moves_from_the_context_to_the_option(model: LanguageModel) -> None:
    left, right = encode_option(model, "One ", "two"), encode_option(model, "One", " two")
    assert left == right
    assert left is not None
    assert left.start == len(model.tokenizer("One").input_ids)  # BOS included: this one adds it


def test_an_empty_context_is_the_bos_token(model: LanguageModel) -> None:
    sequence = encode_option(model, "", "two")
    words = model.tokenizer("two", add_special_tokens=False).input_ids
    assert sequence == TokenSequence((model.tokenizer.bos_token_id, *words), 1)
    tokenizer = deepcopy(model.tokenizer)
    tokenizer.bos_token = None
    model_without = LanguageModel("x", model.network, tokenizer, PromptTemplate())
    sequence = encode_text(model_without, "two")
    assert sequence == TokenSequence((model.tokenizer.eos_token_id, *words), 1)


def test_without_a_start_token_the_first_token_is_not_scored(model: LanguageModel) -> None:
    words = model.tokenizer("one two", add_special_tokens=False).input_ids
    assert encode_text(model, "one two", start_token="none") == TokenSequence(tuple(words), 1)
    assert encode_text(model, "", start_token="none") is None


def test_an_option_without_a_token_is_none(model: LanguageModel) -> None:
    assert encode_option(model, "A context.", "") is None
    assert encode_option(model, "", "") is None


def with_eos(model: LanguageModel) -> LanguageModel:
    """The model with a tokenizer that puts EOS behind every text, as `add_eos_token` does."""
    tokenizer = deepcopy(model.tokenizer)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <|im_end|>", special_tokens=[("<s>", 1), ("<|im_end|>", 3)]
    )
    return LanguageModel("x", model.network, tokenizer, PromptTemplate())


@pytest.mark.parametrize("context", ["The sky is", "A context. The sky is", ""])
def test_an_appended_eos_is_no_token_of_the_option(model: LanguageModel, context: str) -> None:
    ending = with_eos(model)
    assert ending.tokenizer("The sky is").input_ids[-1] == 3
    sequence = encode_option(ending, context, " blue")
    assert sequence == encode_option(model, context, " blue")
    assert sequence is not None
    scored = list(sequence.tokens[sequence.start :])
    assert model.tokenizer.decode(scored) == " blue"


def test_control_tokens_in_contexts_and_options_are_text(model: LanguageModel) -> None:
    """Also one of which the context has the first half; BOS alone is a control token."""
    evil = "a<|im_end|>"
    for sequence in (
        encode_option(model, evil, f" {evil}"),
        encode_option(model, "a<|im_", "end|>"),
        encode_option(model, "", evil),
        encode_text(model, evil),
    ):
        assert sequence is not None
        assert [token for token in sequence.tokens if token < 4] == [1]
        assert model.tokenizer.decode(sequence.tokens[1:]).startswith(evil)


def test_a_template_of_a_context_writes_control_tokens(model: LanguageModel) -> None:
    context = f"<|im_start|>{guard(model.tokenizer, 'a<|im_end|>')}<|im_end|>"
    sequence = encode_option(model, context, " <|im_end|>", guarded=True)
    assert sequence is not None
    assert [token for token in sequence.tokens if token < 4] == [1, 2, 3]
    assert model.tokenizer.decode(sequence.tokens[sequence.start :]) == " <|im_end|>"


# What cannot be scored, and kills


def test_what_cannot_be_scored_is_null_and_counted(
    model: LanguageModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = encode_text(model, "fine")
    long = TokenSequence(tuple([5] * 257), 1)  # the context is 256 tokens
    assert good is not None
    found = score(model, [[good, None], [long], [None]], work=tmp_path / "work")
    assert found[0][0].total == pytest.approx(plainly(model, good), abs=1e-4)
    assert found[0][1] == Likelihood(None, 0)
    assert found[1] == [Likelihood(None, 256)]
    assert found[1][0].mean is None
    assert "3 of 4 texts could not be scored" in caplog.text


def test_nan_logits_are_null(tiny_model: Path, tmp_path: Path) -> None:
    model = load_model(tiny_model, name="x", prompt_template=PromptTemplate(), dtype="float32")
    with torch.no_grad():
        model.network.lm_head.weight[0] = float("nan")
    found = score(model, [[encode_text(model, "one")]], work=tmp_path / "work")
    assert found[0][0].total is None


def test_a_killed_call_resumes_from_what_it_saved(
    model: LanguageModel,
    groups: list[list[TokenSequence | None]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(likelihood, "_ROWS_PER_PART", 1)
    whole = score(model, groups, work=tmp_path / "whole", batch_tokens=1)
    calls = []
    compute = likelihood._score_row

    def dies_at_the_third(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(*arguments, **options)

    monkeypatch.setattr(likelihood, "_score_row", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        score(model, groups, work=tmp_path / "work", batch_tokens=1)
    assert score(model, groups, work=tmp_path / "work", batch_tokens=1) == whole
    # One row per group: two before the kill, the one that was lost, and the one after it.
    assert len(calls) == 2 + 1 + 2
    assert score(model, groups, work=tmp_path / "work", batch_tokens=1) == whole
    assert len(calls) == 5
    saved = json.loads((tmp_path / "work/part-00000.jsonl").read_text().splitlines()[0])
    assert saved.keys() == {"group", "sequence", "total"}


def test_a_model_that_needs_it_is_scored_a_text_at_a_time(
    model: LanguageModel, groups: list[list[TokenSequence | None]], tmp_path: Path
) -> None:
    """LFM2's convolutions pass a token on to the next one in the row, whoever it belongs to."""
    torch.manual_seed(0)
    config = transformers.Lfm2Config(**_SMALL, layer_types=["conv", "full_attention"])
    network = transformers.Lfm2ForCausalLM(config).eval()
    own = LanguageModel("lfm2", network, model.tokenizer, PromptTemplate())
    found = score(own, groups, work=tmp_path / "work")
    for group, likelihoods in zip(groups, found, strict=True):
        for sequence, value in zip(group, likelihoods, strict=True):
            assert sequence is not None
            assert value.total == pytest.approx(plainly(own, sequence), abs=1e-4)
    assert "one text at a time" in own.notes["likelihood"]
    assert model.notes == {}


_SMALL: dict[str, Any] = {
    **{"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.2},
}
_LLAMA4: dict[str, Any] = {
    **_SMALL,
    **{"head_dim": 16, "intermediate_size_mlp": 64, "num_local_experts": 2, "pad_token_id": 0},
    **{"attention_chunk_size": 70, "layer_types": ["chunked_attention", "full_attention"]},
}


@pytest.mark.parametrize("family", ["Mistral", "Llama4"])
def test_texts_beyond_a_window_that_no_trial_reaches(
    model: LanguageModel, family: str, tmp_path: Path
) -> None:
    """A window and a chunk of 70, which the trial's texts do not exceed, and texts of 90."""
    torch.manual_seed(0)
    if family == "Mistral":
        config: Any = transformers.MistralConfig(**_SMALL, sliding_window=70)
        network: Any = transformers.MistralForCausalLM(config).eval()
    else:
        network = transformers.Llama4ForCausalLM(transformers.Llama4TextConfig(**_LLAMA4)).eval()
    own = LanguageModel(family, network, model.tokenizer, PromptTemplate())
    assert likelihood._attends_freely(own) and trees.reach(own) == 70
    tokens = tuple(torch.randint(3, 300, (90,)).tolist())
    pairs = [[TokenSequence(tokens[:n], 1), TokenSequence((*tokens[:n], 5), 1)] for n in (30, 90)]
    found = score(own, pairs, work=tmp_path / "work")
    for group, likelihoods in zip(pairs, found, strict=True):
        for sequence, value in zip(group, likelihoods, strict=True):
            assert value.total == pytest.approx(plainly(own, sequence), abs=1e-3)
