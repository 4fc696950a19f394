"""Names in a study file that nothing defines, and files that are not there."""

import difflib
from pathlib import Path
from typing import Any

from heirloom import objectives, profiling
from heirloom.generate.settings import Generation
from heirloom.select.strategies import STRATEGIES
from heirloom.support.errors import HeirloomError


def nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(sorted(known))}." if known else ""


def reference_problems(raw: dict[str, Any]) -> list[str]:
    """Names that nothing defines. Works on the raw file, so that it adds to the schema's errors."""
    problems: list[str] = []

    def section(key: str) -> dict[str, Any]:
        value = raw.get(key)
        return value if isinstance(value, dict) else {}

    def names(value: Any) -> list[Any]:
        return value if isinstance(value, list) else []

    def check(path: str, name: Any, known: list[str], where: str) -> None:
        if isinstance(name, str) and name not in known:
            problems.append(f"{path}: {name!r} is not in {where}.{nearest(name, known)}")

    models, prompts, metrics = list(section("models")), list(section("prompts")), section("metrics")
    teachers = [t for t in names(raw.get("teachers")) if isinstance(t, str)]
    for key in ("teachers", "bases"):
        for index, name in enumerate(names(raw.get(key))):
            check(f"{key}[{index}]", name, models, "models")
    remote = {
        name: model["endpoint"]
        for name, model in section("models").items()
        if isinstance(model, dict) and isinstance(model.get("endpoint"), dict)
    }
    for index, name in enumerate(names(raw.get("bases"))):
        if name in remote:
            problems.append(
                f"bases[{index}]: {name!r} is a model behind an endpoint, which can write but not "
                "be trained here. Take one with sources."
            )
    bare = [n for n in teachers if remote.get(n, {}).get("completions") is False]
    for path, name in _training_prompts(raw):
        described = section("prompts").get(name)
        if isinstance(described, dict) and described.get("format") == "continuation":
            problems += [
                f"{path}: {name!r} are texts to continue, but the endpoint of {teacher!r} serves "
                "chat alone (completions: no)."
                for teacher in bare
            ]
    for pool, members in section("pools").items():
        if pool in models:
            problems.append(f"pools.{pool}: a model has this name; call the pool something else.")
        for index, name in enumerate(names(members)):
            check(f"pools.{pool}[{index}]", name, teachers, "teachers")
    if teachers and raw.get("training_prompts") is None:
        problems.append("training_prompts: this key is missing, and there are teachers.")
    check("training_prompts", raw.get("training_prompts"), prompts, "prompts")

    for name, metric in metrics.items():
        function = metric.get("function") if isinstance(metric, dict) else None
        if isinstance(function, str):
            try:
                objectives.load(function)
            except HeirloomError as error:
                problems.append(f"metrics.{name}.function: {error}")
    measured = _profile_metrics(section("benchmarks"))
    own = [name for name in names(raw.get("bases")) if name in teachers]
    controls = [strategy.name for strategy in STRATEGIES if not strategy.needs_objective]
    for name, objective in section("objectives").items():
        if name in controls:
            problems.append(f"objectives.{name}: this name is taken by the {name} training sets.")
        if isinstance(objective, dict):
            check(f"objectives.{name}.metric", objective.get("metric"), list(metrics), "metrics")
            for key in ("metrics", "where"):
                entries = objective.get(key)
                for metric in entries if isinstance(entries, dict) else ():
                    check(f"objectives.{name}.{key}", metric, list(metrics), "metrics")
            check(f"objectives.{name}.prompts", objective.get("prompts"), prompts, "prompts")
            for index, pool in enumerate(names(objective.get("pools"))):
                path = f"objectives.{name}.pools[{index}]"
                check(path, pool, [*section("pools"), *own], "pools or bases that are teachers")
            path = f"objectives.{name}.measured_by"
            check(path, objective.get("measured_by"), measured, "what the benchmarks measure")
    ablation = section("ablation")
    for index, name in enumerate(names(ablation.get("objectives"))):
        check(f"ablation.objectives[{index}]", name, list(section("objectives")), "objectives")
        objective, chosen = section("objectives").get(str(name)), ablation.get("pool")
        listed = names(objective.get("pools")) if isinstance(objective, dict) else []
        if listed and chosen not in listed:
            problems.append(
                f"ablation.objectives[{index}]: {name!r} is not chosen from {chosen!r}; add that "
                f"to objectives.{name}.pools."
            )
    check("ablation.pool", ablation.get("pool"), list(section("pools")), "pools")
    k = section("generation").get("k", Generation().k)
    for index, fewer in enumerate(names(ablation.get("candidates"))):
        if isinstance(fewer, int) and isinstance(k, int) and fewer >= k:
            problems.append(
                f"ablation.candidates[{index}]: {fewer} is not fewer than generation.k, {k}."
            )
    if raw.get("study") in names(raw.get("compare_with")):
        problems.append("compare_with: a study is not compared with itself; name others.")
    options = {benchmark.name: benchmark.options for benchmark in profiling.registered()}
    for name, benchmark in section("benchmarks").items():
        if isinstance(benchmark, dict):
            check(f"benchmarks.{name}.prompts", benchmark.get("prompts"), prompts, "prompts")
            check(f"benchmarks.{name}.metric", benchmark.get("metric"), list(metrics), "metrics")
            if name in options:
                for key, data in profiling.data_names(options[name], benchmark):
                    check(f"benchmarks.{name}.{key}", data, list(section("data")), "data")
            answering = [*section("pools"), *teachers]
            check(f"benchmarks.{name}.pool", benchmark.get("pool"), answering, "pools or teachers")
    return problems


def _training_prompts(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """Key and name of every prompt set that the study file says to train on."""
    objectives = raw.get("objectives")
    named = [("training_prompts", raw.get("training_prompts"))] + [
        (f"objectives.{name}.prompts", objective.get("prompts"))
        for name, objective in (objectives.items() if isinstance(objectives, dict) else ())
        if isinstance(objective, dict)
    ]
    return [(path, name) for path, name in named if isinstance(name, str)]


def _profile_metrics(benchmarks: dict[str, Any]) -> list[str]:
    return [
        f"{benchmark.name}.{metric}"
        for benchmark in profiling.registered()
        if benchmarks.get(benchmark.name) is not None
        for metric in benchmark.metrics
    ]


def missing_files(raw: dict[str, Any], root: Path) -> list[str]:
    """Artefacts whose only sources are local paths that do not exist."""
    problems = []
    for key in ("models", "prompts", "data"):
        section = raw.get(key)
        for name, artefact in (section if isinstance(section, dict) else {}).items():
            sources = artefact.get("sources") if isinstance(artefact, dict) else None
            listed = sources if isinstance(sources, list) else []
            paths = [s.get("path") for s in listed if isinstance(s, dict)]
            if paths and all(
                isinstance(p, str) and not (root / Path(p).expanduser()).exists() for p in paths
            ):
                problems.append(
                    f"{key}.{name}.sources: no such file: {', '.join(map(str, paths))}. Relative "
                    f"paths start from {root}."
                )
    return problems
