"""General ability: zero-shot accuracy on common tasks, through lm-evaluation-harness."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from heirloom.profiling import DataName, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.cost import reading
from heirloom.profiling.data.multiple_choice import (
    ARC,
    RTE,
    BoolQ,
    HellaSwag,
    Layout,
    OpenBookQA,
    WinoGrande,
    read_layout,
)
from heirloom.profiling.engines import harness
from heirloom.statistics.resampling import Array, Columns, mean_of
from heirloom.support.files import Record
from heirloom.support.subset import draw

TaskName = Literal[
    "boolq", "rte", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"
]


class GeneralOptions(Options):
    """Options of the general benchmark."""

    tasks: dict[TaskName, DataName] = Field(
        ...,
        min_length=1,
        description="Task to data set. Tasks: boolq, rte, hellaswag, winogrande, arc_easy, "
        "arc_challenge and openbookqa.",
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Number of examples per task, drawn by seed in proportion to the correct "
        "answer. Default: all rows of the file.",
    )


@dataclass(frozen=True)
class _Known:
    """A task of the harness.

    Attributes:
        config: Its configuration, a file below `lm_eval/tasks`.
        layout: Layout of its rows.
        acc_norm: True if the harness reports the length-normalised accuracy for it.
    """

    config: str
    layout: type[Layout]
    acc_norm: bool = True


_KNOWN: dict[str, _Known] = {
    "boolq": _Known("super_glue/boolq/default.yaml", BoolQ, acc_norm=False),
    "rte": _Known("glue/rte/default.yaml", RTE, acc_norm=False),
    "hellaswag": _Known("hellaswag/hellaswag.yaml", HellaSwag),
    "winogrande": _Known("winogrande/default.yaml", WinoGrande, acc_norm=False),
    "arc_easy": _Known("arc/arc_easy.yaml", ARC),
    "arc_challenge": _Known("arc/arc_challenge.yaml", ARC),
    "openbookqa": _Known("openbookqa/openbookqa.yaml", OpenBookQA),
}


@dataclass(frozen=True)
class _Example:
    id: str
    row: Layout


def _read(task: str, path: Path) -> list[_Example]:
    """Read every row of a task's file.

    Raises:
        HeirloomError: It is not such a file.
    """
    rows = read_layout(path, _KNOWN[task].layout)
    # WinoGrande and BoolQ have no ids, HellaSwag's repeat: there the row's number, from 0.
    return [
        _Example(f"{task}/{getattr(row, 'id', number)}", row) for number, row in enumerate(rows)
    ]


# Metrics


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


_LABELS = {"acc": "Accuracy", "acc_norm": "Accuracy (length-normalised)"}


def _metric(task: str, name: str) -> Metric:
    where = {"task": task}
    return Metric("share of examples", "higher", (name,), mean_of(name), where, label=_LABELS[name])


METRICS = {
    "acc": Metric(
        "mean of the tasks' shares",
        "higher",
        ("task", "acc"),
        _mean_over_tasks,
        label=_LABELS["acc"],
    ),
    **{f"acc.{task}": _metric(task, "acc") for task in get_args(TaskName)},
    **{f"acc_norm.{task}": _metric(task, "acc_norm") for task, k in _KNOWN.items() if k.acc_norm},
}


def _cost(options: GeneralOptions, eval_prompts: int) -> Tokens:
    return reading(2_700, 150, sets=len(options.tasks), limit=options.examples)


@benchmark(
    "general",
    label="General abilities",
    options=GeneralOptions,
    metrics=METRICS,
    main=("acc", "acc.*"),
    cost=_cost,
    packages=("lm_eval", "datasets"),
)
def profile_general(task: Task, options: GeneralOptions) -> list[Record]:
    """Zero-shot accuracy on common multiple-choice tasks, as lm-evaluation-harness measures it.

    Prompts, options and the definitions of acc and acc_norm are the harness's own (0.4.13, Gao et
    al., 2021, doi 10.5281/zenodo.5371628); the data come from the study's files, the
    log-likelihoods from `heirloom.profiling.engines.likelihood`. The tasks are multiple choice;
    WinoGrande's options are two beginnings of one sentence, all others' are endings.

    Returns:
        One record per example: id, task, gold, the log-likelihood of every option, acc and, where
        the harness reports it for the task, acc_norm with the options' numbers of characters. Both
        are null where an option could not be scored.
    """
    drawn = {
        name: draw(
            _read(name, task.data[source]),
            options.examples,
            seed=task.seed,
            id=lambda example: example.id,
            stratum=lambda example: str(example.row.gold),
            name=name,
        )
        for name, source in options.tasks.items()
    }
    samples = harness.evaluate(
        task.model,
        {
            name: [example.row.model_dump(by_alias=True) for example in examples]
            for name, examples in drawn.items()
        },
        {name: _KNOWN[name].config for name in drawn},
        work=task.work,
    )
    return [
        _record(name, example, sample)
        for name, examples in drawn.items()
        for example, sample in zip(examples, samples[name], strict=True)
    ]


def _record(task: str, example: _Example, sample: Record) -> Record:
    totals = [None if total != total else total for ((total, _),) in sample["resps"]]
    record = {
        "id": example.id,
        "task": task,
        "gold": example.row.gold,
        "log_likelihoods": totals,
        "acc": None if None in totals else sample["acc"],
    }
    if _KNOWN[task].acc_norm:
        # A continuation is a space and the option.
        record["n_characters"] = [len(option) - 1 for _, option in sample["arguments"]]
        record["acc_norm"] = None if None in totals else sample["acc_norm"]
    return record
