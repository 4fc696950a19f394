"""Models are asked whether shortcuts hold: those of other kinds than llama's, and the message."""

from pathlib import Path
from typing import Any

import pytest
import torch
from spelled_models import SIZES, save_spelled
from tiny import tiny_network

from benchmarks.small_models import small_network
from heirloom.generate.decoders.choice import fitting_decoder
from heirloom.generate.decoders.single import SingleDecoder
from heirloom.generate.decoders.transformers import TransformersDecoder
from heirloom.generate.model import load_model
from heirloom.generate.shortcuts import alike, require_causal, short_texts
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_where_shortcuts_hold_they_are_taken(family: str, dtype: torch.dtype) -> None:
    decoder, note = fitting_decoder(tiny_network(family).to(dtype), 0)
    assert note is None
    assert isinstance(decoder, TransformersDecoder) and not decoder._own_cache


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_states_of_another_kind_are_kept_by_the_cache_of_transformers(dtype: torch.dtype) -> None:
    """LFM2's convolutions have states, which a cache of keys and values has no place for."""
    decoder, note = fitting_decoder(small_network("lfm2").to(dtype), 0)
    assert note == "generated with transformers' own cache"
    assert isinstance(decoder, TransformersDecoder) and decoder._own_cache


def test_what_cannot_be_padded_is_computed_alone() -> None:
    """RWKV has no notion of padding; its recurrent state is its forward pass's own."""
    decoder, note = fitting_decoder(small_network("rwkv"), 0)
    assert note is not None and "one sequence at a time" in note
    assert isinstance(decoder, SingleDecoder) and decoder._state == "state"


def test_a_model_that_sees_later_tokens_is_refused(tmp_path: Path) -> None:
    """BERT as it is configured by default: its head on a text is no prediction of it."""
    save_spelled_bert(tmp_path)
    with pytest.raises(HeirloomError, match=r"'b' \(BertLMHeadModel\) is no causal.*later tokens"):
        load_model(tmp_path, name="b", prompt_template=PromptTemplate(), dtype="float32")


def save_spelled_bert(folder: Path) -> None:
    save_spelled(tiny_network(**SIZES), folder)
    (folder / "model.safetensors").unlink()
    small_network("bert").save_pretrained(folder)


def test_a_forward_pass_that_fails_is_one_message() -> None:
    class Broken(torch.nn.Module):
        config = tiny_network().config
        device = torch.device("cpu")

        def forward(self, input_ids: Any) -> None:
            raise KeyError("pixel_values")

    with pytest.raises(HeirloomError, match=r"'x' \(Broken\).*KeyError: 'pixel_values'"):
        require_causal(Broken(), "x")


def test_the_texts_of_a_trial() -> None:
    """They begin alike, hold no token with a part to play, and exceed a window of 8 by 4."""
    network = tiny_network("gemma3", bos_token_id=40, eos_token_id=[41, 42])
    first, second = short_texts(network)
    assert first[:3] == second[:3] and first[3:6] != second[3:6]
    assert (len(first), len(second)) == (6, 12)
    network.config.image_token_id = second[5]
    assert second[5] not in short_texts(network)[1]


def test_alike_is_rounding_and_nothing_else() -> None:
    """Differences of 1e-5 and of 1e-3 standard deviations, around the tolerance of 1e-4."""
    torch.manual_seed(0)
    exact = torch.randn(4, 500)
    noise = torch.randn(4, 500)
    assert alike(exact + 1e-5 * noise, exact)
    assert not alike(exact + 1e-3 * noise, exact)
    one_row = exact.clone()
    one_row[3] += noise[3]
    assert not alike(one_row, exact)
    assert alike(exact + 5, exact)  # the same distribution
    assert not alike(torch.full_like(exact, torch.nan), exact)
    assert not alike(exact[:2], exact)
