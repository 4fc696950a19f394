"""General ability: zero-shot accuracy on common tasks, through lm-evaluation-harness."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from heirloom.profiling import DataName, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.calibration import HellaSwag, Layout, Lettered, OpenBookQA, read_layout
from heirloom.profiling.cost import reading
from heirloom.statistics.resampling import Array, Columns, mean_of
from heirloom.support.files import Record
from heirloom.support.row_files import Text
from heirloom.support.subset import draw

if TYPE_CHECKING:
    from heirloom.generate.model import LanguageModel

TaskName = Literal[
    "boolq", "rte", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"
]


class GeneralOptions(Options):
    """Options of the general benchmark."""

    tasks: dict[TaskName, DataName] = Field(
        ...,
        min_length=1,
        description="Task to data set, of boolq, rte, hellaswag, winogrande, arc_easy, "
        "arc_challenge and openbookqa: every row of the file can become an example.",
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Examples of each task, drawn by seed in proportion to the right answer; "
        "left out: all.",
    )


# Data: the fields that the harness's own task configurations read.


class BoolQ(Layout):
    """BoolQ as in SuperGLUE (`label`) or as published by itself (`answer`)."""

    expected = "BoolQ has passage, question and label (0: no, 1: yes) or answer (true or false)."
    passage: Text
    question: Text
    label: int = Field(ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _from_answer(cls, values: Any) -> Any:
        if isinstance(values, dict) and "label" not in values and "answer" in values:
            return {**values, "label": values["answer"]}
        return values

    @property
    def gold(self) -> int:
        """0: no, 1: yes."""
        return self.label


class RTE(Layout):
    """RTE as in GLUE."""

    expected = "RTE has sentence1, sentence2 and label (0: entailment, 1: not)."
    sentence1: Text
    sentence2: Text
    label: int = Field(ge=0, le=1)

    @property
    def gold(self) -> int:
        """0: true, 1: false."""
        return self.label


class WinoGrande(Layout):
    """WinoGrande as published."""

    expected = "WinoGrande has a sentence with _ in it, option1, option2 and answer (1 or 2)."
    sentence: str = Field(pattern="_")
    option1: Text
    option2: Text
    answer: Literal["1", "2"]

    @property
    def gold(self) -> int:
        """0: the first option, 1: the second."""
        return int(self.answer) - 1


class ARC(Lettered):
    """ARC as on the Hugging Face Hub."""

    expected = "ARC has id, question, choices.text, choices.label and answerKey, one of the labels."
    question: Text

    @model_validator(mode="after")
    def _several_choices(self) -> Self:
        if len(self.choices.text) < 2:
            raise ValueError("the question has fewer than two choices")
        return self


@dataclass(frozen=True)
class _Known:
    """A task: the harness's configuration below `lm_eval/tasks`, and its rows."""

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
    """Every row of a task's file.

    Raises:
        HeirloomError: it is not such a file.
    """
    rows = read_layout(path, _KNOWN[task].layout)
    # WinoGrande and BoolQ have no ids, HellaSwag's repeat: there the row's number, from 0.
    return [
        _Example(f"{task}/{getattr(row, 'id', number)}", row) for number, row in enumerate(rows)
    ]


# Metrics


def _mean_over_tasks(columns: Columns, weights: Array) -> Array:
    """The mean over the tasks of each one's accuracy; one that no example is drawn of is left out.

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
    log-likelihoods from `heirloom.profiling.engines.likelihood`. The tasks are multiple choice; WinoGrande's options
    are two beginnings of one sentence, all others' are endings.

    Returns:
        A record an example: id, task, gold, of every option the log-likelihood, acc and, where the
        harness reports it for the task, acc_norm with the options' numbers of characters. Both are
        null where an option could not be scored.
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
    samples = _evaluate(task.model, drawn, work=task.work)
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


# lm-evaluation-harness


def _evaluate(
    model: "LanguageModel", drawn: dict[TaskName, list[_Example]], *, work: Path
) -> dict[str, list[Record]]:
    """What the harness logs of every example, by task, in the order given."""
    from lm_eval.evaluator import evaluate

    # Its warnings say which aggregations two configurations leave out; none is used here.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # Its progress bars count prompts that are written in no time. Logging keeps its own stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        results = evaluate(
            _harness_model(model, work),
            {"tasks": {name: _harness_task(name, rows) for name, rows in drawn.items()}},
            bootstrap_iters=0,
        )
    samples: dict[str, list[Record]] = results["samples"]
    return samples


def _harness_task(name: str, examples: Sequence[_Example]) -> Any:
    """The harness's own task over the examples alone, in memory: no hub, no cache."""
    import lm_eval.tasks
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    documents = [example.row.model_dump(by_alias=True) for example in examples]

    class LocalTask(ConfigurableTask):  # type: ignore[misc]
        def download(self, *args: Any, **kwargs: Any) -> None:
            self.dataset = {"given": Dataset.from_list(documents)}

    config = load_yaml(Path(lm_eval.tasks.__file__).parent / _KNOWN[name].config)
    # Whatever split the harness would evaluate, the file takes its place.
    splits = {"training_split": None, "validation_split": "given", "test_split": None}
    return LocalTask(config={**config, **splits})


def _harness_model(model: "LanguageModel", work: Path) -> Any:
    """A model as the harness asks it for log-likelihoods, answering with `heirloom.profiling.engines.likelihood`."""
    from lm_eval.api.model import LM

    from heirloom.profiling.engines.likelihood import encode_option, score

    class Engine(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            # The requests of a document follow each other and share most of their text.
            documents = groupby(requests, key=lambda request: (request.task_name, request.doc_id))
            groups = [
                [encode_option(model, *request.args) for request in document]
                for _, document in documents
            ]
            totals = [found.total for group in score(model, groups, work=work) for found in group]
            # The harness takes no None. Whether an answer is the greedy one is asked by no metric.
            return [(float("nan") if total is None else total, False) for total in totals]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            raise NotImplementedError("no task of this benchmark scores whole texts")

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            raise NotImplementedError("no task of this benchmark generates")

    return Engine()
