"""Memory and time that a job with a model needs, from the number of its parameters alone.

Upper bounds by which a batch system can schedule a job, not predictions. With N parameters of b
bytes each, and an estimated L = (N / 196,608)^(1/3) layers of width 128 L (12 L (128 L)^2 = N, the
shape of a plain transformer):

    weights       N b; a student's are merged in float32 first, which takes N 4 more
    cache         2048 L numbers per token: keys and values of 8 heads of 128
    activations   34 b 128 L^2 per token that is trained on (Korthikanti et al., 2022,
                  arXiv 2205.05198, equation 2, without recomputing any)
    a process     1,200 MB on the processor, 1,000 MB on a GPU

On a processor everything lies in memory, the weights twice (as loaded, and as the generating back
end holds them), each number as float32. With a GPU weights pass through memory and stay, with all
the rest, on the GPU.
Time is 30 minutes and 2 N operations per token that is generated or read, 6 N per token that is
trained on, at 5e10 operations per second and thread or 5e13 per second and GPU.

Measured on two cores with SmolLM2-135M and Gemma 3 270M: 2.0 and 2.8 GB generating 80 sequences,
2.1 and 3.0 GB profiling, 2.4 GB finetuning the first; the formulas say 3.8, 5.2, 2.7, 3.9 and 3.1.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from heirloom.fetch.cache import cache_root
from heirloom.fetch.model_folder import weight_files
from heirloom.fetch.notes import fetched
from heirloom.fetch.settings import PathSource
from heirloom.study.config import Study
from heirloom.study.contests import answered, compared_pairs
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError

DEFAULT_PARAMETERS = 1_000_000_000
"""Assumed parameter count of a model that is not downloaded, if the study file states none."""

PROFILE_TOKENS = 5_000_000
"""Maximum number of tokens that all benchmarks together read and generate."""

PROMPT_TOKENS = 256
"""Tokens of a prompt, for memory and time: most are shorter."""

_BYTES = {"auto": 2, "bfloat16": 2, "float32": 4}  # on a GPU `auto` is bfloat16
_PROCESS_MB = 1200
_GPU_PROCESS_MB = 1000
_MERGED_BYTES = 4
_BASE_MINUTES = 30
_THREAD_RATE = 5e10  # operations per second
_GPU_RATE = 5e13


@dataclass(frozen=True)
class Need:
    """Needs of one job.

    Attributes:
        memory_mb: Main memory of a machine without a GPU.
        host_mb: Main memory of a machine with a GPU.
        gpu_mb: Memory of GPUs.
        operations: Floating-point operations.
    """

    memory_mb: int
    host_mb: int
    gpu_mb: int
    operations: float

    def gpus(self, gpu_memory_mb: int) -> int:
        """Number of GPUs of that memory that hold it: a power of two, as engines divide models."""
        return int(2 ** math.ceil(math.log2(max(1.0, self.gpu_mb / gpu_memory_mb))))

    def minutes(self, *, threads: int, gpus: int) -> int:
        """Maximum run time in minutes on this many threads, or on GPUs if there are any."""
        rate = _GPU_RATE * gpus if gpus else _THREAD_RATE * threads
        return _BASE_MINUTES + math.ceil(self.operations / rate / 60)


@dataclass(frozen=True)
class Inference:
    """Generating or scoring.

    Attributes:
        sequences: Sequences computed at once.
        length: Tokens of one of them, prompt and completion.
        tokens: Tokens in all.
        merged: True if a student's adapter is merged into the weights.
    """

    sequences: int
    length: int
    tokens: float
    merged: bool = False

    def need(self, parameters: int, dtype: str) -> Need:
        """Memory and operations with a model of that many parameters.

        Args:
            parameters: Parameters of the model.
            dtype: `"auto"`, `"bfloat16"` or `"float32"`.
        """
        cached = self.sequences * self.length * _cache_numbers(parameters)
        return _need(
            cpu=2 * parameters * 4 + cached * 4,
            host=parameters * (_BYTES[dtype] + (_MERGED_BYTES if self.merged else 0)),
            gpu=(parameters + cached) * _BYTES[dtype],
            operations=2.0 * parameters * self.tokens,
        )


@dataclass(frozen=True)
class Training:
    """Training an adapter.

    Attributes:
        examples: Examples computed at once.
        length: Maximum number of tokens per example.
        tokens: Total number of tokens over all epochs.
    """

    examples: int
    length: int
    tokens: float

    def need(self, parameters: int, dtype: str) -> Need:
        """Memory and operations with a base of that many parameters; see `Inference.need`."""
        numbers = parameters + 34 * self.examples * self.length * 128 * layers(parameters) ** 2
        return _need(
            cpu=numbers * 4,
            host=parameters * _BYTES[dtype],
            gpu=numbers * _BYTES[dtype],
            operations=6.0 * parameters * self.tokens,
        )


@dataclass(frozen=True)
class JobSizes:
    """Needs of the jobs of one study.

    Attributes:
        plan: The plan of the study.
        paths: The paths of its results.
        shards: Jobs that share a teacher's candidates for a prompt set.
    """

    plan: Plan
    paths: Paths
    shards: int

    def parameters(self, model: str) -> int:
        """Parameters of a model: as the study states, or as counted in its files once fetched."""
        settings = self.plan.study.models[self.plan.models[model].artefact]
        if settings.endpoint:
            return 0  # it is not here
        if settings.parameters:
            return int(settings.parameters)
        folder = fetched(self.paths.model_note(self.plan.models[model].artefact))
        counted = count_parameters(folder) if folder else None
        return counted or DEFAULT_PARAMETERS

    def generate(self, teacher: str, prompts: str) -> Need:
        """One shard of a teacher's candidates."""
        settings, described = self.plan.study.generate, self.plan.study.prompts[prompts]
        tokens = described.train * settings.k * described.max_new_tokens / self.shards
        length = PROMPT_TOKENS + described.max_new_tokens
        return self._need(teacher, Inference(settings.batch_size, length, tokens))

    def answer(self, teacher: str, prompts: str, max_new_tokens: int) -> Need:
        """Completions of a teacher that judges are shown."""
        study = self.plan.study
        tokens = 2 * study.prompts[prompts].eval * max_new_tokens
        length = PROMPT_TOKENS + max_new_tokens
        return self._need(teacher, Inference(study.generate.batch_size, length, tokens))

    def finetune(self, student: str) -> Need:
        """Training of a student."""
        settings = self.plan.study.finetune
        dataset = self.plan.datasets[self.plan.models[student].trained_on]
        prompts = self.plan.study.prompts[dataset.prompts]
        length = min(settings.max_length, PROMPT_TOKENS + prompts.max_new_tokens)
        examples = min(settings.micro_batch_size, settings.batch_size)
        tokens = settings.epochs * prompts.train * length
        return self._need(student, Training(examples, settings.max_length, tokens))

    def profile(self, model: str) -> Need:
        """All benchmarks on one model."""
        study = self.plan.study
        longest = [getattr(o, "max_new_tokens", 0) for o in study.benchmarks.values()]
        work = Inference(
            study.generate.batch_size,
            PROMPT_TOKENS + max(longest, default=0),
            PROFILE_TOKENS,
            merged=self.plan.models[model].base is not None,
        )
        return self._need(model, work)

    def export(self, student: str) -> Need:
        """Merging of a student in float32, and a few completions of it."""
        return self._need(student, Inference(32, PROMPT_TOKENS, 1e4, merged=True))

    def compare(self, judge: str) -> Need:
        """A judge's verdicts on answers of students."""
        length = PROMPT_TOKENS + 2 * answered(self.plan).max_new_tokens
        batch = self.plan.study.generate.batch_size
        tokens = compared_pairs(self.plan) * 2 * length
        return self._need(judge, Inference(batch, length, tokens))

    def _need(self, model: str, work: Inference | Training) -> Need:
        return work.need(self.parameters(model), self.plan.study.dtype)


def memory_of_files(files: Iterable[str]) -> int:
    """MB for a job that holds these files as Python objects."""
    read = sum(Path(file).stat().st_size for file in files if Path(file).exists())
    return 1000 + 8 * read // 1_000_000


@cache
def count_parameters(folder: Path) -> int | None:
    """The parameters of a model, from the headers of its safetensors files.

    None where there are none, or one is damaged: the job that loads it says which.
    """
    try:
        return sum(map(_parameters_in, weight_files(folder))) or None
    except (HeirloomError, OSError, ValueError):
        return None


def _parameters_in(file: Path) -> int:
    """Numbers in a safetensors file: 8 bytes, the length of a JSON header, which has the shapes."""
    with file.open("rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def sizes_of(study: Study) -> dict[str, float | None]:
    """Model to its number of parameters: stated in the study, or counted where it is fetched."""
    found: dict[str, float | None] = {}
    for name, model in study.models.items():
        if model.endpoint is not None:
            found[name] = 0.0  # it costs nothing here
            continue
        folders = [s.path.expanduser() for s in model.sources if isinstance(s, PathSource)]
        folders += cache_root().glob(f"models/{name}-*")
        folders += cache_root().glob(f"artefacts/{name}-*/content")
        counts = (count_parameters(folder) for folder in folders)
        found[name] = model.parameters or next((count for count in counts if count), None)
    for name, model in study.models.items():  # an adapter hardly adds to its base
        found[name] = found[name] or (found.get(model.base) if model.base else None)
    return found


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


def resources_of(
    need: Callable[[Any], Need], *, gpu_memory_mb: int | None, runtime_limit: float | None
) -> dict[str, Callable[..., float]]:
    """Resources of a rule that runs a model, as functions that Snakemake calls for each job.

    Every further attempt gets as much additional memory and time as the first, because the size of
    the model may not be stated.

    Args:
        need: Maps the wildcards of a job to what it needs.
        gpu_memory_mb: Memory of one GPU of the machines; None where jobs have none.
        runtime_limit: Maximum run time of a job in minutes; None: no limit.
    """

    def gpus(wildcards: Any) -> int:
        return need(wildcards).gpus(gpu_memory_mb) if gpu_memory_mb else 0

    def memory(wildcards: Any, attempt: int) -> int:
        needed = need(wildcards)
        return (needed.host_mb if gpu_memory_mb else needed.memory_mb) * attempt

    def minutes(wildcards: Any, threads: int, attempt: int) -> float:
        needed = need(wildcards).minutes(threads=threads, gpus=gpus(wildcards)) * attempt
        return needed if runtime_limit is None else min(needed, runtime_limit)

    found: dict[str, Callable[..., float]] = {"mem_mb": memory, "runtime": minutes}
    return {**found, "gpu": gpus} if gpu_memory_mb else found
