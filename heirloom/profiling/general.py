"""General ability: accuracy on tasks of lm-evaluation-harness."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from heirloom.profiling import DataName, ItemSources, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.cost import reading
from heirloom.profiling.data.harness_rows import KNOWN, Example, read_task
from heirloom.profiling.engines import harness
from heirloom.profiling.engines.harness_tasks import KnownTask, TaskMetric, find_task
from heirloom.profiling.items import texts_in
from heirloom.prompts.rows import read_rows
from heirloom.statistics.resampling import Array, Columns, Statistic, mean_of
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_json
from heirloom.support.settings import Section
from heirloom.support.subset import draw

#: The harness's own results, a file next to the profile.
OWN_FORM = "lm_eval.json"


class TaskChoice(Section):
    """A task of the harness with its data, and few-shot examples if there are any."""

    data: DataName = Field(..., description="Data set with the rows to evaluate.")
    num_fewshot: int | None = Field(
        None,
        ge=0,
        description="Number of examples that every prompt begins with. Default: the task's own "
        "number, which is 0 for most.",
    )
    fewshot_data: DataName | None = Field(
        None,
        description="Data set that these examples are drawn from. If it is the one that is "
        "evaluated, the example that is asked about is left out. Default: those that the task's "
        "configuration holds, if it holds any.",
    )


class GeneralOptions(Options):
    """Options of the general benchmark."""

    tasks: dict[str, DataName | TaskChoice] = Field(
        ...,
        min_length=1,
        description="Task to data set, or to a section with `data`, `num_fewshot` and "
        "`fewshot_data`. Any task of the installed lm-evaluation-harness that needs "
        "log-likelihoods of answers: boolq, rte, hellaswag, winogrande, arc_easy, arc_challenge, "
        "openbookqa, piqa, sciq, mmlu_anatomy ...",
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Number of examples per task, drawn by seed in proportion to the correct "
        "answer. Default: all rows of the file.",
    )

    @model_validator(mode="after")
    def _known_tasks(self) -> Self:
        for name, choice in self.tasks.items():
            # Without few-shot examples, what is known of these seven is written below.
            if _counts_examples(name, choice):
                try:
                    _few_shot(find_task(name), _choice(choice))
                except HeirloomError as error:
                    raise ValueError(f"tasks.{name}: {error}") from None
        return self


def _choice(choice: str | TaskChoice) -> TaskChoice:
    return TaskChoice(data=choice) if isinstance(choice, str) else choice


def _wants_examples(choice: str | TaskChoice) -> bool:
    chosen = _choice(choice)
    return bool(chosen.num_fewshot or chosen.fewshot_data)


def _few_shot(task: KnownTask, choice: TaskChoice) -> int:
    """Return the number of few-shot examples of a task.

    Raises:
        HeirloomError: The options do not say where they come from, or the task takes none.
    """
    number = (task.num_fewshot or 0) if choice.num_fewshot is None else choice.num_fewshot
    if not number:
        if choice.fewshot_data:
            raise HeirloomError(
                "fewshot_data names examples, but none are used. Set num_fewshot, or remove it."
            )
        return 0
    if task.num_fewshot == 0:
        raise HeirloomError(
            "this task takes no few-shot examples: its configuration sets num_fewshot to 0. "
            "Remove num_fewshot."
        )
    if choice.fewshot_data is None and not task.own_examples:
        raise HeirloomError(
            f"{number} few-shot examples are asked for. Name the data set that they are drawn "
            "from: fewshot_data."
        )
    return number


# Metrics


def _perplexity(field: str) -> Statistic:
    """exp of minus the mean log-likelihood, as the harness aggregates it."""
    mean = mean_of(field)
    return lambda columns, weights: np.exp(-mean(columns, weights))


def _mean_over_tasks(columns: Columns, weights: Array) -> Array:
    """Mean over tasks of their accuracies, [b]; a task of which no example is drawn is left out.

    The tasks count the same however many examples they have.
    """
    accuracies = []
    for name in np.unique(columns["task"]):
        members = columns["task"] == name
        drawn = weights[:, members]
        accuracies.append(drawn @ columns["acc"][members] / drawn.sum(axis=1))
    return np.asarray(np.nanmean(accuracies, axis=0))


_LABELS = {
    "acc": "Accuracy",
    "acc_norm": "Accuracy (length-normalised)",
    "acc_bytes": "Accuracy (byte-normalised)",
    "exact_match": "Share of exact matches",
}


def _metric(task: str, name: str) -> Metric:
    where = {"task": task}
    return Metric("share of examples", "higher", (name,), mean_of(name), where, label=_LABELS[name])


def _metric_of(task: str, metric: TaskMetric) -> Metric:
    """A metric that the harness reports for a task of which nothing is known here."""
    name, where = metric.name, {"task": task}
    if name in _LABELS:
        return _metric(task, name)
    direction: Literal["higher", "lower"] = "higher" if metric.higher_is_better else "lower"
    if metric.aggregation == "perplexity":
        return Metric("perplexity", direction, (name,), _perplexity(name), where)
    # Its scale is not known: changes are shown as differences.
    return Metric("mean over examples", direction, (name,), mean_of(name), where, relative=False)


def _chosen_metrics(options: GeneralOptions) -> dict[str, Metric]:
    """Metrics of the tasks that are not among those of `METRICS`."""
    return {
        f"{metric.name}.{name}": _metric_of(name, metric)
        for name in options.tasks
        if name not in KNOWN
        for metric in find_task(name).metrics
    }


METRICS = {
    "acc": Metric(
        "mean of the tasks' shares",
        "higher",
        ("task", "acc"),
        _mean_over_tasks,
        label=_LABELS["acc"],
    ),
    **{f"acc.{task}": _metric(task, "acc") for task in KNOWN},
    **{f"acc_norm.{task}": _metric(task, "acc_norm") for task, k in KNOWN.items() if k.acc_norm},
}


def _cost(options: GeneralOptions, eval_prompts: int) -> Tokens:
    """150 tokens per example, and as many per few-shot example, which is read once per example."""
    total = Tokens()
    for name, choice in options.tasks.items():
        shots = _few_shot(find_task(name), _choice(choice)) if _counts_examples(name, choice) else 0
        total += reading(2_700, 150 * (1 + shots), limit=options.examples)
    return total


def _counts_examples(name: str, choice: str | TaskChoice) -> bool:
    return name not in KNOWN or _wants_examples(choice)


def _items(sources: ItemSources, options: GeneralOptions) -> dict[str, Sequence[str]]:
    """Every text of each row; of a task of which nothing is known here, as the task reads it."""
    found: dict[str, Sequence[str]] = {}
    for name, chosen in options.tasks.items():
        path = sources.data[_choice(chosen).data]
        if name in KNOWN:
            examples = read_task(name, path)
            found |= {e.id: list(texts_in(e.row.model_dump())) for e in examples}
        else:
            documents = harness.local_task(find_task(name).config, _rows(name, path)).eval_docs
            found |= {f"{name}/{n}": list(texts_in(doc)) for n, doc in enumerate(documents)}
    return found


@benchmark(
    "general",
    label="General abilities",
    options=GeneralOptions,
    metrics=METRICS,
    main=("acc", "acc.*"),
    chosen=_chosen_metrics,
    files=(OWN_FORM,),
    items=_items,
    cost=_cost,
    packages=("lm_eval", "datasets"),
)
def profile_general(task: Task, options: GeneralOptions) -> list[Record]:
    """Accuracy on common tasks, as lm-evaluation-harness measures it.

    Prompts, options, few-shot examples and the definitions of metrics are the harness's own
    (0.4.13, Gao et al., 2021, doi 10.5281/zenodo.5371628); the data come from the study's files,
    the log-likelihoods from `heirloom.profiling.engines.likelihood`.

    Returns:
        One record per example: id, task, gold, the log-likelihood of every option, and each metric
        of the task whose aggregation is known; for the seven tasks that have a layout of their own
        acc and, where the harness reports it, acc_norm with the options' numbers of characters.
        Metrics are null where an option could not be scored.

    Raises:
        HeirloomError: A file does not have the rows of its task, or too few for few-shot examples.
    """
    asked = {
        name: _asked(name, _choice(choice), task, options.examples)
        for name, choice in options.tasks.items()
    }
    selected = {name: one.selected for name, one in asked.items()}
    results = harness.evaluate(task.model, selected, work=task.work)
    samples = results.pop("samples")
    records = [
        _record(name, id, gold, sample)
        for name, one in asked.items()
        for id, gold, sample in zip(one.ids, one.golds, samples[name], strict=True)
    ]
    if OWN_FORM in task.files:
        write_json(task.files[OWN_FORM], _own_form(results, samples, task, options))
    return records


@dataclass(frozen=True)
class _Asked:
    """The examples of a task to evaluate: their ids, and the answers that a layout states."""

    selected: harness.Selected
    ids: Sequence[str]
    golds: Sequence[int | None]


def _asked(name: str, choice: TaskChoice, task: Task, examples: int | None) -> _Asked:
    path = task.data[choice.data]
    if name not in KNOWN:
        return _asked_of_any(find_task(name), choice, task, examples)
    everyone = read_task(name, path)
    drawn = draw(
        everyone,
        examples,
        seed=task.seed,
        id=lambda example: example.id,
        stratum=lambda example: str(example.row.gold),
        name=name,
    )
    ids, golds = [e.id for e in drawn], [e.row.gold for e in drawn]
    config = KNOWN[name].config
    if not _wants_examples(choice):
        return _Asked(harness.Selected(harness.local_task(config, _documents(drawn))), ids, golds)
    shown = _shown(find_task(name), choice, task.data)
    local = harness.local_task(config, _documents(everyone), shown)
    places = {example.id: number for number, example in enumerate(everyone)}
    return _Asked(harness.Selected(local, [places[id] for id in ids]), ids, golds)


def _asked_of_any(known: KnownTask, choice: TaskChoice, task: Task, examples: int | None) -> _Asked:
    """The examples of a task of which nothing is known here."""
    rows = _rows(known.name, task.data[choice.data])
    local = harness.local_task(known.config, rows, _shown(known, choice, task.data))
    # The task may have left out rows, or given them other fields.
    documents = local.eval_docs
    ids = [f"{known.name}/{number}" for number in range(len(documents))]
    # Of free text, every example's answer is another.
    strata = local.OUTPUT_TYPE == "multiple_choice"
    numbers = draw(
        range(len(documents)),
        examples,
        seed=task.seed,
        id=lambda number: ids[number],
        stratum=lambda number: str(local.doc_to_target(documents[number])) if strata else "",
        name=known.name,
    )
    return _Asked(
        harness.Selected(local, numbers), [ids[number] for number in numbers], [None] * len(numbers)
    )


def _shown(
    known: KnownTask, choice: TaskChoice, data: Mapping[str, Path]
) -> harness.FewShot | None:
    """Few-shot examples of a task; None if it has none."""
    number = _few_shot(known, choice)
    if not number:
        return None
    if choice.fewshot_data is None:
        return harness.FewShot(number)
    rows = _rows(known.name, data[choice.fewshot_data])
    return harness.FewShot(number, rows, evaluated=choice.fewshot_data == choice.data)


def _rows(name: str, path: Path) -> list[Record]:
    """Rows of a task's file, as the harness's configuration reads them.

    Raises:
        HeirloomError: There are none, or they are no objects.
    """
    if name in KNOWN:
        return _documents(read_task(name, path))
    rows = [row.values for row in read_rows(path)]
    if not rows or not isinstance(rows[0], dict):
        raise HeirloomError(f"{path} has no rows with named fields for the task {name!r}.")
    return rows


def _documents(examples: Sequence[Example]) -> list[Record]:
    return [example.row.model_dump(by_alias=True) for example in examples]


def _record(task: str, id: str, gold: int | None, sample: Record) -> Record:
    totals = [None if total != total else total for ((total, _),) in sample["resps"]]
    scored = None not in totals
    gold = sample["target"] if gold is None else gold
    record = {"id": id, "task": task, "gold": gold, "log_likelihoods": totals}
    if task not in KNOWN:
        for metric in find_task(task).metrics:
            record[metric.name] = float(sample[metric.name]) if scored else None
        return record
    record["acc"] = sample["acc"] if scored else None
    if KNOWN[task].acc_norm:
        # A continuation is a space and the option.
        record["n_characters"] = [len(option) - 1 for _, option in sample["arguments"]]
        record["acc_norm"] = sample["acc_norm"] if scored else None
    return record


def _own_form(
    results: Record, samples: Mapping[str, Sequence[Record]], task: Task, options: GeneralOptions
) -> Record:
    """The results as the harness writes them, without what differs from run to run."""
    from lm_eval.utils import handle_non_serializable

    counts = {
        name: {
            "original": found["original"],
            "effective": sum(bool(s["metrics"]) for s in samples[name]),
        }
        for name, found in results["n-samples"].items()
    }
    settings = {
        "model": "heirloom",
        "model_args": {"pretrained": task.model.name, "dtype": str(task.model.network.dtype)},
        "limit": options.examples,
        "bootstrap_iters": 0,
        "fewshot_seed": harness.FEWSHOT_SEED,
    }
    whole = {
        **results,
        "n-samples": counts,
        "config": settings,
        "lm_eval_version": version("lm_eval"),
    }
    found: Record = json.loads(json.dumps(whole, default=handle_non_serializable))
    return found
