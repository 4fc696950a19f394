"""Resources that jobs ask for, by hand and against what jobs took."""

from pathlib import Path

import pytest

from heirloom.study.job_size import Inference, Training, count_parameters

# 12 * 128^2 * 8^3: eight layers of width 1,024, by the estimate that the formulas rest on.
EIGHT_LAYERS = 100_663_296


def test_inference_by_hand() -> None:
    """Ten sequences of 100 tokens; a cache of 2 * 8 * 128 * 8 = 16,384 numbers per token."""
    need = Inference(sequences=10, length=100, tokens=1_000_000, merged=True).need(
        EIGHT_LAYERS, "bfloat16"
    )
    # 2 * 4 * 100.663296 MB of weights, and 1,000 * 16,384 * 4 bytes = 65.536 MB of cache.
    assert need.memory_mb == 1200 + 871  # 805.306 + 65.536, rounded up
    # Merged in four bytes, kept in two.
    assert need.host_mb == 1200 + 604  # 603.98
    # 2 * (100.663296 + 16.384) MB
    assert need.gpu_mb == 1000 + 235  # 234.09
    # 2 * 1.00663296e8 * 1e6 operations: 4,026.5 s of a thread, 4.03 s of a GPU.
    assert need.minutes(threads=1, gpus=0) == 30 + 68
    assert need.minutes(threads=4, gpus=0) == 30 + 17
    assert need.minutes(threads=4, gpus=1) == 30 + 1


def test_finetuning_by_hand() -> None:
    """Two examples of 50 tokens; 34 * 128 * 8^2 = 278,528 activations a token."""
    need = Training(examples=2, length=50, tokens=1_000_000).need(EIGHT_LAYERS, "float32")
    # 4 * (100.663296 + 100 * 0.278528) MB
    assert need.memory_mb == 1200 + 515  # 514.06
    assert need.gpu_mb == 1000 + 515
    assert need.host_mb == 1200 + 403  # 402.65
    # 6 * 1.00663296e8 * 1e6 operations: 12,079.6 s
    assert need.minutes(threads=1, gpus=0) == 30 + 202


@pytest.mark.parametrize(
    ("parameters", "gpus"),
    [(6.7e9, 1), (1.3e10, 1), (4.67e10, 2), (1.04e11, 4)],
    ids=["llama2-7b", "llama2-13b", "mixtral-8x7b", "command-r-plus"],
)
def test_gpus_of_80_gb_for_the_teachers_of_the_paper(parameters: float, gpus: int) -> None:
    need = Inference(sequences=256, length=768, tokens=1).need(int(parameters), "auto")
    assert need.gpus(80_000) == gpus


@pytest.mark.parametrize(
    ("parameters", "measured"), [(134_515_008, 2025), (268_098_176, 2838)], ids=["135M", "270M"]
)
def test_more_is_asked_for_than_was_taken(parameters: int, measured: int) -> None:
    """The peaks of the default study's teachers, 80 sequences at once, in MB."""
    need = Inference(sequences=80, length=256, tokens=1).need(parameters, "auto")
    assert measured < need.memory_mb < 2 * measured


def test_more_is_asked_for_than_a_student_took() -> None:
    """SmolLM2-135M, two examples of at most 512 tokens at once: 2,427 MB."""
    need = Training(examples=2, length=512, tokens=1).need(134_515_008, "auto")
    assert 2427 < need.memory_mb < 2 * 2427


def test_parameters_are_those_of_the_model(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert count_parameters(tiny_model) == network.num_parameters()
