"""Names in a study file that nothing defines, and files that are not there.

Checks work on the raw file, so that what they find adds to the errors of the schema.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from heirloom import objectives
from heirloom.generate.settings import Generate
from heirloom.objectives import Scorer
from heirloom.profiling import BENCHMARKS, Benchmark
from heirloom.profiling.options import references
from heirloom.select.strategies import STRATEGIES
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.named_options import names_in


def nearest(word: str, known: Iterable[str]) -> str:
    """Hint at the name that was probably meant, or at all that there are; begins with a space."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(sorted(names))}." if names else ""


def reference_problems(raw: Record) -> list[str]:
    """Return one line per name that nothing defines, with its key and a hint."""
    file = _File(raw)
    checks: list[Callable[[_File], Iterator[str]]] = [
        _models,
        _adapters,
        _endpoints,
        _pools,
        _training_prompts,
        _metrics,
        _objectives,
        _sets_made_twice,
        _ablation,
        _noise_floor,
        _comparisons,
        _compared_answers,
        _published_numbers,
        _benchmarks,
    ]
    return [problem for check in checks for problem in check(file)]


class _File:
    """A raw study file, read without trusting its shape."""

    def __init__(self, raw: Record) -> None:
        self.raw = raw
        self.models = self.section("models")
        self.prompts = self.section("prompts")
        self.metrics = self.section("metrics")
        self.pools = self.section("pools")
        self.teachers = [name for name in self.names("teachers") if isinstance(name, str)]

    def section(self, key: str) -> Record:
        value = self.raw.get(key)
        return value if isinstance(value, dict) else {}

    def sections(self, key: str) -> Iterator[tuple[str, Record]]:
        """Name and content of every section below a key that is one."""
        for name, value in self.section(key).items():
            if isinstance(value, dict):
                yield name, value

    def names(self, key: str) -> list[str | None]:
        """Entries of a list of names; None where one is no text, which is reported elsewhere."""
        return [name if isinstance(name, str) else None for name in _list(self.raw.get(key))]

    @property
    def endpoints(self) -> dict[str, Record]:
        """Models behind an endpoint, with its section."""
        return {
            name: model["endpoint"]
            for name, model in self.sections("models")
            if isinstance(model.get("endpoint"), dict)
        }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unknown(path: str, name: Any, known: Iterable[str], where: str) -> Iterator[str]:
    """One problem if `name` is a text that is none of the known names."""
    known = list(known)
    if isinstance(name, str) and name not in known:
        yield f"{path}: {name!r} is not in {where}.{nearest(name, known)}"


def _models(file: _File) -> Iterator[str]:
    for key in ("teachers", "bases"):
        for index, name in enumerate(file.names(key)):
            yield from _unknown(f"{key}[{index}]", name, file.models, "models")


def _adapters(file: _File) -> Iterator[str]:
    """Bases of adapters that are not there, or that no adapter can be merged into."""
    bases = {name: model["base"] for name, model in file.sections("models") if model.get("base")}
    for name, base in bases.items():
        path = f"models.{name}.base"
        yield from _unknown(path, base, file.models, "models")
        if base in file.endpoints:
            yield f"{path}: {base!r} is a model behind an endpoint. Take one with sources."
        seen = [name]
        while isinstance(base, str) and base in bases and base not in seen:
            seen.append(base)
            base = bases[base]
        if base == name:
            yield f"{path}: {' -> '.join([*seen, name])} leads back to itself; name a whole model."


def _endpoints(file: _File) -> Iterator[str]:
    """Tasks that a model behind an endpoint is given and cannot do."""
    for index, name in enumerate(file.names("bases")):
        if name in file.endpoints:
            yield (
                f"bases[{index}]: {name!r} is a model behind an endpoint, which can generate but "
                "not be trained here. Take one with sources."
            )
    chat_only = [t for t in file.teachers if file.endpoints.get(t, {}).get("completions") is False]
    for path, name, described in _trained_on(file):
        if described.get("format") == "continuation":
            for teacher in chat_only:
                yield (
                    f"{path}: {name!r} are texts to continue, but the endpoint of {teacher!r} "
                    "serves chat alone (completions: no)."
                )


def _pools(file: _File) -> Iterator[str]:
    for pool, members in file.pools.items():
        if pool in file.models:
            yield f"pools.{pool}: a model has this name; call the pool something else."
        for index, name in enumerate(_list(members)):
            yield from _unknown(f"pools.{pool}[{index}]", name, file.teachers, "teachers")


def _trained_on(file: _File) -> Iterator[tuple[str, str, Record]]:
    """Key, name and section of every prompt set that training sets are made from."""
    named = [("training_prompts", file.raw.get("training_prompts"))]
    named += [(f"objectives.{n}.prompts", o.get("prompts")) for n, o in file.sections("objectives")]
    for path, name in named if file.teachers else ():
        described = file.prompts.get(name) if isinstance(name, str) else None
        if isinstance(described, dict):
            yield path, str(name), described


def _training_prompts(file: _File) -> Iterator[str]:
    if file.teachers and file.raw.get("training_prompts") is None:
        yield "training_prompts: this key is missing, and there are teachers."
    named = file.raw.get("training_prompts")
    yield from _unknown("training_prompts", named, file.prompts, "prompts")
    for path, name, described in _trained_on(file):
        if described.get("train") == 0:
            yield (
                f"{path}: {name!r} has no prompts to train on. Raise prompts.{name}.train, or name "
                "another prompt set."
            )


def _metrics(file: _File) -> Iterator[str]:
    for name, metric in file.sections("metrics"):
        function, options = metric.get("function"), metric.get("options", {})
        if not isinstance(function, str):
            continue
        try:
            scorer = objectives.load(function)
        except HeirloomError as error:
            yield f"metrics.{name}.function: {error}"
            continue
        yield from _taken(name, scorer, file)
        if isinstance(options, dict):
            yield from _scorer_options(f"metrics.{name}.options", scorer, options, file)


def _taken(name: str, scorer: Scorer, file: _File) -> Iterator[str]:
    """A metric called like one that a benchmark has, which scores with all, and not the same."""
    for benchmark in BENCHMARKS:
        taken = benchmark.scores_all and name in benchmark.metrics
        runs = file.section("profiling").get(benchmark.name) is not None
        if taken and runs and scorer.same_as != f"{benchmark.name}.{name}":
            yield (
                f"metrics.{name}: {benchmark.name}.{name} is a metric that "
                f"profiling.{benchmark.name} has of its own, and not the score of "
                f"{scorer.name!r}. Call this metric something else."
            )


def _scorer_options(path: str, scorer: Scorer, options: Record, file: _File) -> Iterator[str]:
    try:
        scorer.check_options(options)
    except HeirloomError as error:
        yield f"{path}: {error}"
    for found in names_in(scorer.named, options):
        yield from _unknown(f"{path}.{found.path}", found.name, file.section("data"), "data")


def _objectives(file: _File) -> Iterator[str]:
    measured = _measured(file)
    controls = [strategy.name for strategy in STRATEGIES if not strategy.needs_objective]
    for name in file.section("objectives"):
        if name in controls:
            yield f"objectives.{name}: this name is taken by the {name} training sets."
    for name, objective in file.sections("objectives"):
        path = f"objectives.{name}"
        yield from _unknown(f"{path}.metric", objective.get("metric"), file.metrics, "metrics")
        for key in ("metrics", "where"):
            entries = objective.get(key)
            for metric in entries if isinstance(entries, dict) else ():
                yield from _unknown(f"{path}.{key}", metric, file.metrics, "metrics")
        yield from _unknown(f"{path}.prompts", objective.get("prompts"), file.prompts, "prompts")
        for index, pool in enumerate(_list(objective.get("pools"))):
            known = [*file.pools, *file.teachers]
            yield from _unknown(f"{path}.pools[{index}]", pool, known, "pools or teachers")
        yield from _measured_by(path, objective, measured)


def _measured_by(path: str, objective: Record, measured: Sequence[str]) -> Iterator[str]:
    stated, several = objective.get("measured_by"), objective.get("metrics")
    first = next(iter(several), None) if isinstance(several, dict) else objective.get("metric")
    if stated is None and isinstance(first, str) and "text.length" not in measured:
        yield (
            f"{path}.measured_by: this key is missing, and without profiling.text nothing measures "
            f"text.{first}, its default. Add profiling.text, or name what measures the objective."
        )
    yield from _unknown(f"{path}.measured_by", stated, measured, "what the benchmarks measure")


def _measured(file: _File) -> list[str]:
    """Every `benchmark.metric` that the study's benchmarks measure."""
    return [
        f"{benchmark.name}.{metric}"
        for benchmark in BENCHMARKS
        if file.section("profiling").get(benchmark.name) is not None
        for metric in _measures(benchmark, file)
    ]


def _measures(benchmark: Benchmark, file: _File) -> Iterable[str]:
    """Names of the metrics that a benchmark reports in this study."""
    options = file.section("profiling").get(benchmark.name)
    found = references(benchmark.options, options) if isinstance(options, dict) else []
    named = [reference.name for reference in found if reference.kind == "metric"]
    valid = None
    with suppress(ValidationError):  # which is reported elsewhere
        valid = benchmark.options.model_validate(options)
    # Their scorers decide on units alone.
    scorers = dict.fromkeys(benchmark.scored_with(named, list(file.metrics)))
    return benchmark.measures(scorers, valid)


def _sets_made_twice(file: _File) -> Iterator[str]:
    """Pools of one teacher from which an objective selects what it selects from that teacher."""
    everyone = file.raw.get("single_source") == "all"
    for name, objective in file.sections("objectives"):
        listed = _list(objective.get("pools"))
        named = listed or ([*file.pools, *file.teachers] if everyone else [])
        for pool, members in file.pools.items():
            (*_, teacher) = _list(members) or [None]
            if len(_list(members)) == 1 and pool in named and teacher in named:
                yield (
                    f"objectives.{name}: the pool {pool!r} has the candidates of {teacher!r} "
                    "alone, which are selected from as well, so that one set would be made twice. "
                    f"Leave one of the two out of objectives.{name}.pools."
                )


def _noise_floor(file: _File) -> Iterator[str]:
    k = file.section("generate").get("k", Generate().k)
    if file.raw.get("noise_floor") is True and k == 1:
        yield (
            "noise_floor: a second draw needs a second candidate, but generate.k is 1. Set it to "
            "2 or more."
        )


def _ablation(file: _File) -> Iterator[str]:
    ablation, known = file.section("ablation"), file.section("objectives")
    pool = ablation.get("pool")
    for index, name in enumerate(_list(ablation.get("objectives"))):
        yield from _unknown(f"ablation.objectives[{index}]", name, known, "objectives")
        objective = known.get(str(name))
        listed = _list(objective.get("pools")) if isinstance(objective, dict) else []
        if listed and pool not in listed:
            yield (
                f"ablation.objectives[{index}]: {name!r} does not select from {pool!r}; add that "
                f"to objectives.{name}.pools."
            )
    yield from _unknown("ablation.pool", pool, file.pools, "pools")
    k = file.section("generate").get("k", Generate().k)
    for index, fewer in enumerate(_list(ablation.get("candidates"))):
        if isinstance(fewer, int) and isinstance(k, int) and fewer >= k:
            yield f"ablation.candidates[{index}]: {fewer} is not fewer than generate.k, {k}."


def _comparisons(file: _File) -> Iterator[str]:
    if file.raw.get("study") in file.names("compare_with"):
        yield "compare_with: a study is not compared with itself; name others."


def _compared_answers(file: _File) -> Iterator[str]:
    settings, path = file.section("compare_answers"), "compare_answers"
    if not settings:
        return
    for index, name in enumerate(_list(settings.get("judges"))):
        yield from _unknown(f"{path}.judges[{index}]", name, file.models, "models")
        if name in file.endpoints:
            yield (
                f"{path}.judges[{index}]: {name!r} is a model behind an endpoint, where the "
                "likelihoods of letters are not to be had. Take one with sources."
            )
    if not (file.raw.get("bases") and file.teachers):
        yield f"{path}: this study trains no students whose answers could be compared."
    text = file.section("profiling").get("text")
    if not isinstance(text, dict):
        yield f"{path}: answers to compare are those of profiling.text; add it."
        return
    prompts = file.prompts.get(str(text.get("prompts")))
    there = prompts.get("eval") if isinstance(prompts, dict) else None
    asked = settings.get("examples")
    if isinstance(asked, int) and isinstance(there, int) and asked > there:
        yield f"{path}.examples: {asked} is more than prompts.{text['prompts']}.eval, {there}."


def _published_numbers(file: _File) -> Iterator[str]:
    known = {
        "objective": (list(file.section("objectives")), "objectives"),
        "metric": (_measured(file), "what the benchmarks measure"),
        "base": ([name for name in file.names("bases") if name], "bases"),
        "pool": ([*file.pools, *file.teachers], "pools or teachers"),
    }
    for index, number in enumerate(_list(file.raw.get("references"))):
        for key, (names, where) in known.items():
            named = number.get(key) if isinstance(number, dict) else None
            yield from _unknown(f"references[{index}].{key}", named, names, where)
        if isinstance(number, dict) and number.get("unit", "percent") == "percent":
            yield from _no_percentage(f"references[{index}].unit", number.get("metric"))


def _no_percentage(path: str, measured: Any) -> Iterator[str]:
    """One problem if a profile metric is not on a ratio scale."""
    benchmark, _, name = measured.partition(".") if isinstance(measured, str) else ("", "", "")
    metric = BENCHMARKS.get(benchmark).metrics.get(name) if benchmark in BENCHMARKS else None
    if metric is not None and not metric.relative:
        yield (
            f"{path}: {measured} has no true zero, so a change in percent means nothing. Give "
            "unit: level, and compared_with."
        )


def _benchmarks(file: _File) -> Iterator[str]:
    known: dict[str, tuple[Iterable[str], str]] = {
        "prompts": (file.prompts, "prompts"),
        "metric": (file.metrics, "metrics"),
        "pool": ([*file.pools, *file.teachers], "pools or teachers"),
        "data": (file.section("data"), "data"),
    }
    for name, options in file.sections("profiling"):
        if name in BENCHMARKS:
            for found in references(BENCHMARKS.get(name).options, options):
                names, where = known[found.kind]
                yield from _unknown(f"profiling.{name}.{found.path}", found.name, names, where)


def missing_files(raw: Record, root: Path) -> list[str]:
    """Return one line per artefact whose only sources are local paths that do not exist."""
    problems = []
    for key in ("models", "prompts", "data"):
        for name, artefact in _File(raw).sections(key):
            paths = [s.get("path") for s in _list(artefact.get("sources")) if isinstance(s, dict)]
            if paths and all(
                isinstance(p, str) and not (root / Path(p).expanduser()).exists() for p in paths
            ):
                problems.append(
                    f"{key}.{name}.sources: no such file: {', '.join(map(str, paths))}. Relative "
                    f"paths start from {root}."
                )
    return problems
