"""Architectures, small and random: each step is the plain forward pass's, or one message.

A dozen that differ here; all others are marked slow. `make architectures` writes the page about
them.
"""

from pathlib import Path

import pytest
import torch

from benchmarks.architectures import RIGHT, Outcome, examine, page
from benchmarks.small_models import ARCHITECTURES

# Windows, chunks, sinks, experts, convolutions, linear attention, state spaces, hybrids of them,
# positions that are no input, per-layer embeddings.
DOZEN = [
    *("llama", "gemma3_text", "lfm2", "qwen3_next", "llama4_text", "granitemoehybrid", "mamba2"),
    *("bloom", "gpt_oss", "gemma3n_text", "falcon_h1"),
]
OTHERS = [name for name in ARCHITECTURES if name not in (*DOZEN, "rwkv")]


@pytest.mark.parametrize("architecture", DOZEN)
def test_a_kind_of_architecture_is_right(architecture: str, tmp_path: Path) -> None:
    outcome = examine(architecture, tmp_path)
    assert outcome.unbuilt is None
    assert outcome.right, outcome


def test_one_that_changes_its_state_is_taken_one_at_a_time(tmp_path: Path) -> None:
    """RWKV's padded batches change its predictions."""
    outcome = examine("rwkv", tmp_path)
    assert outcome.right, outcome
    assert any("one sequence at a time" in note for note in outcome.notes)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", OTHERS)
def test_every_other_architecture_is_right_or_refused(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    outcome = examine(architecture, tmp_path)
    if outcome.unbuilt:
        pytest.skip(outcome.unbuilt)
    assert not outcome.wrong, outcome


def test_the_page_counts_outcomes() -> None:
    right = dict.fromkeys(("generation", "likelihood", "training", "merge"), RIGHT)
    text = page(
        [
            Outcome("a", right, notes=["scored one text at a time: others change it"]),
            Outcome("b", {"generation": "model 'b' computes nothing"}),
            Outcome("c", {**right, "merge": "wrong"}),
            Outcome("d", unbuilt="ValueError: no"),
        ]
    )
    assert "1 architectures are right, 1 are refused in whole or in part, 1 are wrong; of 1" in text
    assert "| a | right | right | right | right | scored one text at a time |" in text
    assert "| b | refused |  |  |  |  |" in text
    assert "- b, generation: model 'b' computes nothing" in text
    assert "- d: ValueError: no" in text
