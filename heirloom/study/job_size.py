"""How much memory and time a job with a model needs, from the number of its parameters alone.

Upper bounds that a batch system can place a job by, not predictions. With N parameters of b bytes
each, and an estimated L = (N / 196,608)^(1/3) layers of width 128 L (12 L (128 L)^2 = N, the shape
of a plain transformer):

    weights       N b; a student's are merged in float32 first, which takes N 4 more
    cache         2048 L numbers a token: keys and values of 8 heads of 128
    activations   34 b 128 L^2 a token that is trained on (Korthikanti et al., 2022,
                  arXiv 2205.05198, equation 2, without recomputing any)
    a process     1,200 MB on the processor, 1,000 MB on a GPU

On a processor everything lies in memory, the weights twice (the network, and what generates), each
number as float32. With a GPU weights pass through memory and stay, with all the rest, on the GPU.
Time is 30 minutes and 2 N operations a token that is generated or read, 6 N one that is trained on,
at 5e10 operations a second and thread or 5e13 a second and GPU.

Measured on two cores with SmolLM2-135M and Gemma 3 270M: 2.0 and 2.8 GB generating 80 sequences,
2.1 and 3.0 GB profiling, 2.4 GB finetuning the first; the formulas say 3.8, 5.2, 2.7, 3.9 and 3.1.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DEFAULT_PARAMETERS = 1_000_000_000
"""Of a model that is not there yet, if the study file does not say."""

PROFILE_TOKENS = 5_000_000
"""Tokens that all benchmarks together read and write, at most."""

_BYTES = {"auto": 2, "bfloat16": 2, "float32": 4}  # on a GPU `auto` is bfloat16
_PROCESS_MB = 1200
_GPU_PROCESS_MB = 1000
_MERGED_BYTES = 4
_BASE_MINUTES = 30
_THREAD_RATE = 5e10  # operations a second
_GPU_RATE = 5e13


@dataclass(frozen=True)
class Need:
    """What one job needs.

    Attributes:
        memory_mb: Memory of the machine without a GPU.
        host_mb: Memory of the machine beside a GPU.
        gpu_mb: Memory of GPUs.
        operations: Floating-point operations.
    """

    memory_mb: int
    host_mb: int
    gpu_mb: int
    operations: float

    def gpus(self, gpu_memory_mb: int) -> int:
        """How many GPUs of `gpu_memory_mb` hold it: a power of two, as engines divide models."""
        return int(2 ** math.ceil(math.log2(max(1.0, self.gpu_mb / gpu_memory_mb))))

    def minutes(self, *, threads: int, gpus: int) -> int:
        """How long it takes at most, on that many threads, or on GPUs where there are any."""
        rate = _GPU_RATE * gpus if gpus else _THREAD_RATE * threads
        return _BASE_MINUTES + math.ceil(self.operations / rate / 60)


def inference(
    parameters: int,
    *,
    dtype: str,
    sequences: int,
    length: int,
    tokens: int,
    merged: bool = False,
) -> Need:
    """What generating or scoring takes.

    Args:
        parameters: Of the model.
        dtype: `"auto"`, `"bfloat16"` or `"float32"`.
        sequences: How many are computed at once.
        length: Tokens of one of them, prompt and completion.
        tokens: Tokens in all.
        merged: Whether a student's adapter is merged into the weights.
    """
    cached = sequences * length * _cache_numbers(parameters)
    return _need(
        cpu=2 * parameters * 4 + cached * 4,
        host=parameters * (_BYTES[dtype] + (_MERGED_BYTES if merged else 0)),
        gpu=(parameters + cached) * _BYTES[dtype],
        operations=2.0 * parameters * tokens,
    )


def finetuning(parameters: int, *, dtype: str, examples: int, length: int, tokens: float) -> Need:
    """What training an adapter takes.

    Args:
        parameters: Of the base.
        dtype: `"auto"`, `"bfloat16"` or `"float32"`.
        examples: How many are computed at once.
        length: Most tokens of one of them.
        tokens: Tokens in all, every epoch counted.
    """
    numbers = parameters + 34 * examples * length * 128 * layers(parameters) ** 2
    return _need(
        cpu=numbers * 4,
        host=parameters * _BYTES[dtype],
        gpu=numbers * _BYTES[dtype],
        operations=6.0 * parameters * tokens,
    )


@cache
def count_parameters(folder: Path) -> int | None:
    """The parameters of a model, from the headers of its safetensors files.

    None where there are none, or one is damaged: the job that loads it says which.
    """
    try:
        return sum(_parameters_in(file) for file in folder.glob("*.safetensors")) or None
    except ValueError:
        return None


def _parameters_in(file: Path) -> int:
    """Numbers in a safetensors file: 8 bytes, the length of a JSON header, which has the shapes."""
    with file.open("rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def layers(parameters: float) -> float:
    """The estimated number of layers L; each is 128 L wide."""
    return float((parameters / (12 * 128**2)) ** (1 / 3))


def _cache_numbers(parameters: int) -> float:
    """Numbers in the cache for one token."""
    return 2 * 8 * 128 * layers(parameters)


def _need(*, cpu: float, host: float, gpu: float, operations: float) -> Need:
    return Need(
        memory_mb=_PROCESS_MB + math.ceil(cpu / 1e6),
        host_mb=_PROCESS_MB + math.ceil(host / 1e6),
        gpu_mb=_GPU_PROCESS_MB + math.ceil(gpu / 1e6),
        operations=operations,
    )
