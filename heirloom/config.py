"""The study file: one typed source for its keys, bounds and descriptions.

`config/schema.json` and the tables in `config/README.md` are generated from these classes. Only the
Snakefile reads a study; the library takes plain arguments.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from heirloom import objectives, profiling
from heirloom.endpoints import Endpoint
from heirloom.errors import HeirloomError
from heirloom.sources import Artefact, HubSource, Source

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="Lower-case letters, digits and single hyphens: it becomes part of file names.",
    ),
]

# pydantic puts the kind of a source into an error's path, where it means nothing to a user.
_SOURCE_KINDS = ("HubSource", "UrlSource", "PathSource", "WheelSource")


# Keys of earlier versions, and where to find now what they said.
_MOVED = {
    "generation.shards": " How many jobs share the work is up to the machine: remove it, and give "
    "--set-scatter shards=2, or set-scatter in a profile.",
}

_Entry = TypeVar("_Entry", str, int)


def _distinct(names: list[_Entry]) -> list[_Entry]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{', '.join(map(str, repeated))} is named twice")
    return names


def _is_pinned(source: Source) -> bool:
    """Whether what is fetched can never be other code than it is today."""
    return (
        isinstance(source, HubSource)
        and source.files is None
        and re.fullmatch(r"[0-9a-f]{40}", source.revision) is not None
    )


Direction = Literal["maximise", "minimise"]
Names = Annotated[list[Name], AfterValidator(_distinct)]


class Section(BaseModel):
    """A part of the study file. Unknown keys are errors: a typo must not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Artefact):
    """A language model: where it comes from, or answers, and how it is shown a prompt."""

    sources: list[Source] = Field(
        [],
        description="Places that have the same model, in order of preference. What is on this "
        "machine already is used; otherwise the first that answers.",
    )
    endpoint: Endpoint | None = Field(
        None,
        description="Instead of sources: an API that writes the texts of a teacher that cannot run "
        "here.",
    )
    parameters: float | None = Field(
        None,
        gt=0,
        description="How many it has (`7.0e9`), for what its jobs ask a cluster for. Left out: "
        "counted once it is fetched, and taken for 1.0e9 until then. Changes no result.",
    )

    template: str = Field(
        "chat",
        description="`chat`: the tokenizer's own chat template; else a text with `{prompt}` in it.",
    )
    stop: list[str] = Field([], description="Texts that end a completion, for models that go on.")
    trust_remote_code: bool = Field(
        False,
        description="Run the Python code in the model's repository, for an architecture that "
        "transformers does not have. Needs hub sources, each pinned to a commit of 40 digits.",
    )

    @model_validator(mode="after")
    def _pinned_code(self) -> Self:
        if self.trust_remote_code and not (
            self.sources and all(_is_pinned(source) for source in self.sources)
        ):
            raise ValueError(
                "trust_remote_code runs what the repository holds: every source must be a whole "
                "hub repository (no files) whose revision is a commit, 40 hexadecimal digits"
            )
        return self

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if bool(self.sources) == bool(self.endpoint):
            raise ValueError("give sources or an endpoint, one of the two")
        if self.endpoint and not self.endpoint.completions and self.template != "chat":
            raise ValueError(
                "an endpoint without /completions takes no template: it has the model's own (chat)"
            )
        return self


class Columns(Section):
    """Which columns of the source hold what. A dot reaches into nested objects (`prompt.text`)."""

    text: str = Field("instruction", description="The prompt, or its first part.")
    input: str | None = Field(None, description="A second part, put below the first (Alpaca).")
    id: str | None = Field(None, description="A stable id. Left out: a hash of the text.")


class Prompts(Artefact):
    """A set of prompts, split into train and eval, which never share a prompt."""

    columns: Columns = Field(Columns(), description="Which columns of the source hold what.")
    format: Literal["instruction", "continuation"] = Field(
        "instruction",
        description="`instruction`: in the model's template; `continuation`: a text to go on with.",
    )
    train: int = Field(..., ge=1, description="Prompts to make training data from.")
    eval: int = Field(..., ge=1, description="Prompts to profile models on.")
    max_new_tokens: int = Field(..., ge=1, description="Most tokens of a completion.")


class Data(Artefact):
    """A benchmark's data: a file, or a folder of them, in the format its authors publish."""


class Metric(Section):
    """A number measured on a text; every candidate gets every metric."""

    function: str = Field(
        ...,
        description="A scorer of `heirloom/objectives/` by name, or your own as `module:function`.",
    )
    options: dict[str, Any] = Field({}, description="Keyword arguments for the scorer.")


class Criterion(Section):
    """One of several metrics that decide together."""

    direction: Direction = Field(..., description="Which way is better.")
    weight: float = Field(1, gt=0, description="How much it counts beside the others.")


class Bounds(Section):
    """What a score has to be, both ends included."""

    at_least: float | None = Field(None, description="Lowest score allowed.")
    at_most: float | None = Field(None, description="Highest score allowed.")

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("give at_least, at_most or both")
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least {low:g} is above at_most {high:g}")
        return self

    def __str__(self) -> str:
        ends = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{end} {value:g}" for end, value in ends.items() if value is not None)


class Keep(Section):
    """Which of the prompts, each with its best candidate, make the training set."""

    fraction: float | None = Field(
        None, gt=0, lt=1, description="This share of them, those whose best scores are best."
    )
    at_least: float | None = Field(None, description="Those whose best scores this or more.")
    at_most: float | None = Field(None, description="Those whose best scores this or less.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if sum(value is not None for value in (self.fraction, self.at_least, self.at_most)) != 1:
            raise ValueError("give one of fraction, at_least and at_most")
        return self

    def __str__(self) -> str:
        if self.fraction is not None:
            return f"the best {100 * self.fraction:g} % of the prompts"
        return f"prompts whose best scores {Bounds(at_least=self.at_least, at_most=self.at_most)}"


class Objective(Section):
    """What the best candidate is the best for: one metric and a direction, or several metrics."""

    metric: Name | None = Field(None, description="One of `metrics`, where one decides alone.")
    direction: Direction | None = Field(None, description="Which way that one is better.")
    metrics: dict[Name, Criterion] = Field(
        {},
        description="Instead of those two: several, of which the weighted mean of the ranks within "
        "a prompt decides. The first is the one that `measured_by` measures.",
    )
    where: dict[Name, Bounds] = Field(
        {}, description="Bounds on metrics that a candidate must keep to be chosen."
    )
    keep: Keep | None = Field(
        None, description="Make the training set of the best prompts only. Left out: of all."
    )
    prompts: Name | None = Field(
        None, description="Prompts of its own. Left out: `training_prompts`."
    )
    pools: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="Whose candidates to choose from: pools, and bases for a set of their own "
        "candidates. Left out: every pool, and every base that is a teacher.",
    )
    measured_by: str = Field(
        ...,
        description="The profile metric that shows whether a student inherited it, "
        "`benchmark.metric` (`text.mtld`).",
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.metrics:
            if self.metric is not None or self.direction is not None:
                raise ValueError("give metric and direction, or metrics, not both")
            if self.keep:
                raise ValueError(
                    "keep compares scores of prompts, but ranks of several metrics are within one "
                    "prompt: give metric and direction, and put the other metrics into where"
                )
        elif self.metric is None or self.direction is None:
            raise ValueError("give metric and direction, or metrics")
        return self

    @property
    def criteria(self) -> dict[str, Criterion]:
        """The metrics that decide; the first is the one that `measured_by` measures."""
        if self.metric is None or self.direction is None:
            return self.metrics
        return {self.metric: Criterion(direction=self.direction)}

    @property
    def scored_by(self) -> list[str]:
        """Every metric that it takes to choose, each once."""
        return list(dict.fromkeys([*self.criteria, *self.where]))

    @property
    def own_prompts(self) -> bool:
        """Whether it may leave out prompts, so that its control must leave out the same."""
        return bool(self.where or self.keep)

    def __str__(self) -> str:
        several = len(self.criteria) > 1
        text = " and ".join(
            f"{criterion.direction} {name}" + (f" (weight {criterion.weight:g})" if several else "")
            for name, criterion in self.criteria.items()
        )
        if self.where:
            text += " with " + ", ".join(f"{name} {ends}" for name, ends in self.where.items())
        return text + (f", {self.keep} only" if self.keep else "")


class Ablation(Section):
    """Best-of sets from fewer candidates, the first of those that there are."""

    objectives: Annotated[Names, Field(min_length=1)] = Field(
        ..., description="Objectives to choose for."
    )
    pool: Name = Field(..., description="The pool to choose from.")
    candidates: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(_distinct)] = Field(
        ...,
        min_length=1,
        description="Candidates a prompt and teacher, each fewer than `generation.k`.",
    )


class Generation(Section):
    """How teachers write candidates."""

    k: int = Field(5, ge=1, description="Candidates a prompt and teacher (assumed, see README).")
    temperature: float = Field(1.0, ge=0, description="0 is greedy.")
    top_k: int = Field(50, ge=0, description="Choose among the k likeliest tokens; 0: all.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus; 1: all.")
    batch_size: int = Field(80, ge=1, description="Most sequences generated at once.")
    backend: Literal["auto", "transformers", "openvino", "vllm"] = Field(
        "auto",
        description="What computes every text of the study's own models. `auto`: OpenVINO on a "
        "processor, if it is installed and can run the model, else transformers. `vllm`: a server "
        "of it, see below.",
    )
    weights: Literal["model", "int8"] = Field(
        "model",
        description="`int8`: the weights, and each token's activations, rounded to 8 bits in "
        "groups of 32, for every model of the study alike, and for what they write alone: twice "
        "as fast on a processor. Needs OpenVINO.",
    )

    @model_validator(mode="after")
    def _int8_is_openvinos(self) -> Self:
        if self.weights == "int8" and self.backend in ("transformers", "vllm"):
            raise ValueError("weights: int8 needs OpenVINO: set backend to auto or openvino")
        return self


class Finetuning(Section):
    """How a student learns its training set: LoRA (Hu et al., 2021) on the completion's tokens."""

    seeds: list[int] = Field([1], min_length=1, description="One student for each.")
    epochs: float = Field(2, gt=0, description="Passes over the training set.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak; decays linearly to zero.")
    batch_size: int = Field(4, ge=1, description="Examples a step.")
    micro_batch_size: int = Field(
        2, ge=1, description="Of those, how many at once: fewer need less memory. Divides it."
    )
    lora_rank: int = Field(16, ge=1, description="Rank of the adapter (assumed).")
    lora_alpha: int = Field(32, ge=1, description="Scale of the adapter (assumed).")
    max_length: int = Field(
        512, ge=16, description="Longer examples, in tokens, are left out and counted."
    )
    checkpoint_steps: int = Field(10, ge=1, description="A killed job loses at most these steps.")
    gradient_checkpointing: bool = Field(
        False, description="Less memory for a third more time. Changes no number but by rounding."
    )
    quantization: Literal["none", "4bit"] = Field(
        "none",
        description="`4bit`: the base in 4 bits while students learn (QLoRA; Dettmers et al., "
        "2023). Needs a GPU of NVIDIA's and bitsandbytes.",
    )

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % min(self.micro_batch_size, self.batch_size):
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        return self


Benchmarks: type[Section] = create_model(
    "Benchmarks",
    __base__=Section,
    __doc__="Which benchmarks profile every model. One that is left out does not run.",
    **{
        benchmark.name: (benchmark.options | None, Field(None, description=benchmark.summary))
        for benchmark in profiling.registered()
    },  # type: ignore[call-overload]
)


class Publish(Section):
    """What `snakemake push` puts on the Hugging Face hub, and where."""

    namespace: str = Field(
        ..., pattern=r"^\w([\w.-]*\w)?$", description="User or organisation that will own it."
    )
    private: bool = Field(True, description="Whether only the owner sees it.")
    datasets: list[str] | None = Field(
        None, description="Training sets to push, by name; left out: all."
    )
    students: list[str] | None = Field(None, description="Students, likewise.")


class Study(Section):
    """One study: everything between raw prompts and the report."""

    study: Name = Field(..., description="Names the results: `results/{study}/`.")
    title: str = Field(..., description="One line, the title of the report.")
    seed: int = Field(..., ge=0, description="Decides every random choice except finetuning's.")
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="`auto`: bfloat16 where it is faster than float32, else that."
    )
    models: dict[Name, Model] = Field(..., min_length=1, description="Every model, by name.")
    teachers: Names = Field(..., description="Models that write candidates; `[]`: none.")
    bases: Names = Field(
        ...,
        description="Models that become students; `[]`: none. Models that are neither teacher nor "
        "base are profiled only.",
    )
    pools: dict[Name, Annotated[Names, Field(min_length=1)]] = Field(
        {}, description="Multi-source pools: teachers whose candidates compete. A teacher alone "
        "(single-source) needs no entry."
    )  # fmt: skip
    prompts: dict[Name, Prompts] = Field({}, description="Prompt sets, by name.")
    training_prompts: Name | None = Field(
        None, description="The prompt set that training sets come from."
    )
    data: dict[Name, Data] = Field({}, description="What benchmarks are run on, by name.")
    metrics: dict[Name, Metric] = Field({}, description="Metrics, by name.")
    objectives: dict[Name, Objective] = Field({}, description="What to steer students towards.")
    ablation: Ablation | None = Field(
        None, description="How much the number of candidates matters (figure 5)."
    )
    generation: Generation = Field(Generation(), description="How teachers write candidates.")
    finetuning: Finetuning = Field(Finetuning(), description="How students learn.")
    benchmarks: Benchmarks = Field(..., description="How models are profiled.")  # type: ignore[valid-type]
    compare_with: Names = Field(
        [],
        description="Other studies, run before in the same folder, to put beside this one.",
    )
    publish: Publish | None = Field(
        None, description="What `snakemake push` puts on the Hugging Face hub; left out: nothing."
    )


def parse_study(raw: dict[str, Any], *, root: Path) -> Study:
    """Check a study file whole.

    Args:
        raw: The study file as parsed from YAML, overrides merged in.
        root: Folder that relative paths in it start from.

    Raises:
        HeirloomError: something is wrong. The message has every error, with its key and a hint.
    """
    problems: list[str] = []
    study = None
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        problems += _describe(error)
    problems += _reference_problems(raw)
    problems += _missing_files(raw, root)
    if study is None or problems:
        lines = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        name = raw.get("study", "without a name")
        raise HeirloomError(
            f"the study {name} cannot run as it is:\n{lines}\n"
            "Every key is explained in config/README.md."
        )
    return study


def _describe(error: ValidationError) -> list[str]:
    """One line an error: its key path, what is wrong, and a hint."""
    lines = []
    for item in error.errors():
        path = _path([part for part in item["loc"] if part not in _SOURCE_KINDS])
        if item["type"] == "extra_forbidden":
            hint = _MOVED.get(path) or _nearest(str(item["loc"][-1]), _keys_beside(item["loc"]))
            lines.append(f"{path}: unknown key.{hint}")
        elif item["type"] == "missing":
            lines.append(f"{path}: this key is missing.")
        elif "endpoint" in f"{item['loc']}{item['input']}":
            lines.append(f"{path}: {item['msg']}.")  # without what may be a key in the wrong place
        else:
            lines.append(f"{path}: {item['msg']} (it is {item['input']!r}).")
    return lines


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys that would have been right where an unknown one was found."""
    known: Any = Study
    for part in location[:-1]:
        if get_origin(known) in (dict, list):  # `part` is the name or number of an entry
            known = get_args(known)[-1]
        elif _is_section(known):
            known = known.model_fields[part].annotation
        else:  # a union: `part` says which of its classes the value was checked against
            known = next((s for s in _sections_in(known) if s.__name__ == part), None)
    sections = _sections_in(known)
    return list(sections[0].model_fields) if len(sections) == 1 else []


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if _is_section(annotation):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _path(parts: list[int | str]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the study file"


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(sorted(known))}." if known else ""


def _reference_problems(raw: dict[str, Any]) -> list[str]:
    """Names that nothing defines. Works on the raw file, so that it adds to the schema's errors."""
    problems: list[str] = []

    def section(key: str) -> dict[str, Any]:
        value = raw.get(key)
        return value if isinstance(value, dict) else {}

    def names(value: Any) -> list[Any]:
        return value if isinstance(value, list) else []

    def check(path: str, name: Any, known: list[str], where: str) -> None:
        if isinstance(name, str) and name not in known:
            problems.append(f"{path}: {name!r} is not in {where}.{_nearest(name, known)}")

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
    for name, objective in section("objectives").items():
        if name in ("passive", "random"):
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


def _missing_files(raw: dict[str, Any], root: Path) -> list[str]:
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
