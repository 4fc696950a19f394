"""The tasks that the installed lm-evaluation-harness has, and what a study must know of each.

The harness finds a task by reading all of its 14,000 configurations, which takes seconds. What
matters is read once per version and kept in the cache that studies share, because every job of a
study checks the names of its tasks.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from heirloom.fetch.cache import build_once, cache_path
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

#: Raised when what is read of a configuration changes: an older index is not read then.
_FORM = 1
#: Aggregations over examples that heirloom can resample.
AGGREGATIONS = ("mean", "perplexity")
#: Kinds of requests that are answered, and what the others would need.
_ANSWERED = ("multiple_choice", "loglikelihood")
_NEEDED = {
    "generate_until": "generation: its answers are texts",
    "loglikelihood_rolling": "the log-likelihood of whole documents",
}
_SHOWN = 5


@dataclass(frozen=True)
class TaskMetric:
    """A metric that a task reports.

    Attributes:
        name: Its name in the harness.
        aggregation: The harness's name for the function that makes one number of all examples'.
        higher_is_better: True if more is better.
    """

    name: str
    aggregation: str
    higher_is_better: bool


@dataclass(frozen=True)
class KnownTask:
    """A task of the harness.

    Attributes:
        name: Its name.
        config: Its configuration, a file below `lm_eval/tasks`.
        num_fewshot: Its own number of few-shot examples; None if it states none.
        own_examples: True if its configuration holds few-shot examples.
        metrics: Metrics whose aggregation is one of `AGGREGATIONS`.
    """

    name: str
    config: str
    num_fewshot: int | None
    own_examples: bool
    metrics: tuple[TaskMetric, ...]


def find_task(name: str) -> KnownTask:
    """Return a task of the harness by its name.

    Raises:
        HeirloomError: There is none; it is a group; or it needs something other than
            log-likelihoods of answers.
    """
    index = _index()
    harness = f"lm-eval {version('lm_eval')}"
    if name in index["groups"]:
        members = index["groups"][name]
        shown = ", ".join(members[:_SHOWN]) + (" ..." if len(members) > _SHOWN else "")
        raise HeirloomError(
            f"{name!r} is a group of tasks in {harness}. Name its tasks, each with its data: "
            f"{shown}."
        )
    if name not in index["tasks"]:
        near = difflib.get_close_matches(name, [*index["tasks"], *index["groups"]], n=3)
        hint = f" Nearest: {', '.join(near)}." if near else " `lm-eval ls tasks` lists all."
        raise HeirloomError(f"{harness} has no task {name!r}.{hint}")
    found = index["tasks"][name]
    if found["output_type"] not in _ANSWERED:
        needs = _NEEDED.get(found["output_type"], f"requests of the type {found['output_type']}")
        raise HeirloomError(
            f"the task {name!r} of {harness} needs {needs}. This benchmark computes "
            "log-likelihoods of given answers only (output types multiple_choice and "
            "loglikelihood). Leave it out."
        )
    if found["refused"]:
        raise HeirloomError(f"the task {name!r} of {harness} {found['refused']}. Leave it out.")
    return KnownTask(
        name,
        found["config"],
        found["num_fewshot"],
        found["own_examples"],
        tuple(TaskMetric(*metric) for metric in found["metrics"]),
    )


@lru_cache(maxsize=1)
def _index() -> Record:
    """The index of the installed version: {tasks: {name: ...}, groups: {name: [task]}}."""
    return build_once(cache_path("harness", f"{version('lm_eval')}-{_FORM}"), lambda _: _built())


def _built() -> Record:
    """Read all configurations of the harness."""
    import lm_eval.tasks
    from lm_eval.tasks._index import Kind, TaskIndex

    home = Path(lm_eval.tasks.__file__).parent
    entries = TaskIndex.build([home])
    tasks, groups = {}, {}
    for name, entry in entries.items():
        if entry.kind is Kind.TAG:
            groups[name] = sorted(entry.tags)
        elif entry.kind is Kind.GROUP:
            groups[name] = _members(entry.cfg or {})
        elif entry.yaml_path is not None:
            tasks[name] = _described(entry.cfg or {}, entry.yaml_path.relative_to(home))
    return {"tasks": tasks, "groups": groups}


def _members(config: Mapping[str, Any]) -> list[str]:
    """Names of the tasks and groups that a group lists."""
    listed = config.get("task")
    found = listed if isinstance(listed, list) else [listed]
    names = [
        item.get("task", item.get("group")) if isinstance(item, dict) else item for item in found
    ]
    return [name for name in names if isinstance(name, str)]


def _described(config: Mapping[str, Any], file: Path) -> Record:
    """The part of a task's configuration that is kept."""
    few_shot = config.get("fewshot_config")
    kind = config.get("output_type", "generate_until")  # the harness's default
    return {
        "config": file.as_posix(),
        "output_type": kind,
        "num_fewshot": config.get("num_fewshot"),
        "own_examples": isinstance(few_shot, dict) and bool(few_shot.get("samples")),
        "metrics": _metrics(config, kind),
        "refused": _refused(config),
    }


def _refused(config: Mapping[str, Any]) -> str | None:
    """The reason why a task of a fitting output type cannot run; None if it can."""
    if "class" in config:
        return "is Python code that loads its own data"
    if config.get("unsafe_code"):
        return "runs code that a model wrote"
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        return "shows images or sounds"
    return None


def _metrics(config: Mapping[str, Any], kind: str) -> list[tuple[str, str, bool]]:
    """Metrics as (name, aggregation, higher is better), by the harness's own defaults."""
    import lm_eval.api.metrics  # noqa: F401  # registers them
    from lm_eval.api import registry

    listed: Sequence[Any] = config.get("metric_list") or [
        {"metric": name} for name in registry.DEFAULT_METRIC_REGISTRY.get(kind, [])
    ]
    names = {function: name for name, function in registry.AGGREGATION_REGISTRY.items()}
    found = []
    for entry in listed:
        name = entry.get("metric")
        known = name in registry.METRIC_REGISTRY
        aggregation = entry.get("aggregation") or (
            names.get(registry.get_metric_aggregation(name)) if known else None
        )
        higher = entry.get("higher_is_better", registry.is_higher_better(name) if known else True)
        if isinstance(name, str) and name.isidentifier() and aggregation in AGGREGATIONS:
            found.append((name, aggregation, bool(higher)))
    return found
