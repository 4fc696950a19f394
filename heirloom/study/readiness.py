"""Checks of what a run needs before its first job, all told together."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heirloom.fetch.cache import cache_path
from heirloom.fetch.settings import PathSource
from heirloom.prompts.read import read_source
from heirloom.prompts.split import split_prompts
from heirloom.study.estimate import estimate
from heirloom.study.job_size import sizes_of
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json
from heirloom.support.llama_cpp import gguf_converter

# Rules whose jobs fill the disk, and their stages in an estimate.
_STAGES = {"generate": "generate", "answer": "judge", "finetune": "finetune", "profile": "profile"}


@dataclass(frozen=True)
class Pending:
    """A job that will run.

    Attributes:
        rule: Its rule.
        wildcards: Its wildcards.
    """

    rule: str
    wildcards: Mapping[str, str]


def require_ready(plan: Plan, paths: Paths, jobs: Sequence[Pending]) -> list[str]:
    """Check what the jobs of a run need.

    Args:
        plan: The plan of the study.
        paths: The paths of its results; the folder is made.
        jobs: The jobs that will run.

    Returns:
        Warnings, which do not stop the run.

    Raises:
        HeirloomError: Something is missing; the message names all of it.
    """
    problems = [*_unwritable(paths), *_prompts(plan, jobs), *_keys(plan, jobs)]
    problems += _converter(plan, jobs)
    warnings = [] if problems else _disk(plan, paths, jobs)
    if problems:
        raise HeirloomError(
            "\n".join(["nothing was run, because", *(f"  - {problem}" for problem in problems)])
        )
    return warnings


def _unwritable(paths: Paths) -> list[str]:
    root = Path(paths.root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with Path(paths.lock()).open("a"):
            return []
    except OSError as error:
        return [
            f"{root} cannot be written ({error.strerror}): fix its permissions, or run in another "
            "folder."
        ]


def _prompts(plan: Plan, jobs: Sequence[Pending]) -> list[str]:
    """Local prompt files that cannot be read, or have too few prompts."""
    asked = {job.wildcards["prompts"] for job in jobs if job.rule.endswith("_prompts")}
    problems = []
    for name in sorted(asked):
        settings = plan.study.prompts[name]
        local = [s.path.expanduser() for s in settings.sources if isinstance(s, PathSource)]
        there = next((path for path in local if path.is_file()), None)
        if there is None:
            continue
        sizes = {"train": settings.train, "eval": settings.eval}
        try:
            prompts = read_source(there, settings)
            split_prompts(prompts, **sizes, seed=plan.study.seed, name=name)
        except HeirloomError as error:
            problems.append(str(error))
    return problems


def _keys(plan: Plan, jobs: Sequence[Pending]) -> list[str]:
    """Keys of endpoints that are not set, where no answer of the model is kept yet."""
    asking = {job.wildcards.get("teacher", job.wildcards.get("model", "")) for job in jobs}
    problems = []
    for name in sorted(asking & plan.study.models.keys()):
        endpoint = plan.study.models[name].endpoint
        if endpoint is None or not endpoint.key or os.environ.get(endpoint.key, "").strip():
            continue
        if not _has_answers(dict(endpoint.identity)):
            problems.append(
                f"models.{name}.endpoint.key: the environment variable {endpoint.key} is not set, "
                f"and no completion of {name} is stored. Set it: export {endpoint.key}=..."
            )
    return problems


def _converter(plan: Plan, jobs: Sequence[Pending]) -> list[str]:
    """A converter to GGUF that a job will need and that is not there."""
    export = plan.study.export
    if export is None or export.gguf is None or all(job.rule != "export" for job in jobs):
        return []
    try:
        gguf_converter()
    except HeirloomError as error:
        return [str(error)]
    return []


def _has_answers(identity: Mapping[str, object]) -> bool:
    for file in cache_path("answers").glob("*/identity.json"):
        try:
            if read_json(file)["model"] == identity:
                return True
        except (HeirloomError, OSError, KeyError, TypeError):
            continue
    return False


def _disk(plan: Plan, paths: Paths, jobs: Sequence[Pending]) -> list[str]:
    """A warning where the estimate for these jobs is more than there is room for."""
    pending = Counter(_STAGES.get(job.rule) for job in jobs)
    lines = estimate(plan, sizes_of(plan.study))
    total: Counter[str] = Counter()
    gigabytes: dict[str, float] = defaultdict(float)
    for line in lines:
        total[line.work.stage] += line.work.jobs
        gigabytes[line.work.stage] += line.gigabytes or 0
    needed = sum(
        gigabytes[stage] * min(1.0, pending[stage] / total[stage])
        for stage in _STAGES.values()
        if total[stage]
    )
    free = shutil.disk_usage(paths.root).free / 1e9
    if needed <= free:
        return []
    return [
        f"{paths.root} has {free:.1f} GB of free space, and this run may take {needed:.1f} GB, if "
        "every completion is as long as it may be: see `make estimate`."
    ]
