"""Calibration: whether a model is right as often as it is sure of its answers."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from heirloom.profiling import DataName, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.caveats import RAISED_BY_NOISE
from heirloom.profiling.cost import reading
from heirloom.statistics.resampling import Array, Columns, Statistic, mean_of
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.row_files import Text, parse_row, read_rows
from heirloom.support.subset import draw

if TYPE_CHECKING:
    from heirloom.profiling.engines.likelihood import Likelihood

BINS = 10
DATA_SETS = ("hellaswag", "openbookqa")


class CalibrationOptions(Options):
    """Options of the calibration benchmark. At least one data set has to be named."""

    hellaswag: DataName | None = Field(
        None, description="HellaSwag's validation set; its test set has no answers."
    )
    openbookqa: DataName | None = Field(
        None, description="OpenBookQA; the paper takes its test set."
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Questions of each data set, drawn by seed in proportion to the position of "
        "the right answer; left out: all.",
    )
    text: Literal["harness", "raw"] = Field(
        "harness",
        description="HellaSwag's text. `harness`: as lm-evaluation-harness writes it, the activity "
        "in front and bracketed tags removed; `raw`: `ctx` as it is, as in the paper's toolkit.",
    )

    @model_validator(mode="after")
    def _some_data(self) -> Self:
        if self.hellaswag is None and self.openbookqa is None:
            raise ValueError("name a data set for hellaswag, openbookqa or both")
        return self


# Data


class Layout(BaseModel):
    """A row of a data set, checked. Keys that it does not name are ignored."""

    model_config = ConfigDict(frozen=True)
    expected: ClassVar[str]

    @property
    def gold(self) -> int:
        """Number of the right option, counted from 0."""
        raise NotImplementedError


LayoutT = TypeVar("LayoutT", bound=Layout)


def read_layout(path: Path, layout: type[LayoutT]) -> list[LayoutT]:
    """Read and check every row of a file.

    Raises:
        HeirloomError: there are none, or one has another layout: the message names row and key.
    """
    rows = [parse_row(row, layout, expected=layout.expected) for row in read_rows(path)]
    if not rows:
        raise HeirloomError(f"{path} has no rows. {layout.expected}")
    return rows


Texts = list[Text]


class HellaSwag(Layout):
    """HellaSwag, as its authors and the Hugging Face Hub publish it."""

    expected = (
        "HellaSwag's validation set has activity_label, ctx_a, ctx_b, ctx, four endings and a "
        "label from 0 to 3."
    )
    activity_label: str
    ctx_a: str
    ctx_b: str
    ctx: Text
    endings: Texts = Field(min_length=4, max_length=4)
    label: int = Field(ge=0, le=3)

    @property
    def gold(self) -> int:
        """Number of the right ending."""
        return self.label


class Choices(BaseModel):
    """The options of a question and what each is called."""

    model_config = ConfigDict(frozen=True)
    text: Texts
    label: list[str]


class Lettered(Layout):
    """A question whose answer is named by its label: OpenBookQA, ARC."""

    id: str
    choices: Choices
    answer_key: str = Field(alias="answerKey")

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        if len(self.choices.text) != len(self.choices.label):
            raise ValueError("choices have a different number of texts and labels")
        if self.choices.label.count(self.answer_key.strip()) != 1:
            raise ValueError(f"answerKey {self.answer_key!r} is not one of the labels")
        return self

    @property
    def gold(self) -> int:
        """Number of the right choice."""
        return self.choices.label.index(self.answer_key.strip())


class OpenBookQA(Lettered):
    """OpenBookQA, as its authors (`question.stem`) or the Hugging Face Hub publish it."""

    expected = (
        "OpenBookQA has id, answerKey and question.stem with four question.choices (text, label), "
        "or question_stem and choices.text, choices.label."
    )
    question_stem: Text

    @model_validator(mode="before")
    @classmethod
    def _from_upstream(cls, values: Any) -> Any:
        question = values.get("question") if isinstance(values, dict) else None
        if not isinstance(question, dict):
            return values
        choices = question.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            return values
        columns = {key: [c.get(key) for c in choices] for key in ("text", "label")}
        return {**values, "question_stem": question.get("stem"), "choices": columns}

    @model_validator(mode="after")
    def _four_choices(self) -> Self:
        if len(self.choices.text) != 4:
            raise ValueError(f"the question has {len(self.choices.text)} choices, not 4")
        return self


@dataclass(frozen=True)
class Question:
    """A question: the options are scored behind the context and a space.

    Attributes:
        id: `data_set/` and the data set's own id, or the row's number counted from 0.
        data_set: One of `DATA_SETS`.
        context: What is given.
        options: The options, without a space in front.
        gold: Number of the right one.
    """

    id: str
    data_set: str
    context: str
    options: tuple[str, ...]
    gold: int


def read_hellaswag(path: Path, *, text: Literal["harness", "raw"]) -> list[Question]:
    """Every question of a HellaSwag file.

    Raises:
        HeirloomError: it is not such a file.
    """
    questions = []
    # `ind` is no id: 433 rows of the validation set repeat another's.
    for number, item in enumerate(read_layout(path, HellaSwag)):
        context, options = harness_text(item) if text == "harness" else (item.ctx, item.endings)
        questions.append(
            Question(f"hellaswag/{number}", "hellaswag", context, tuple(options), item.gold)
        )
    return questions


def harness_text(item: HellaSwag) -> tuple[str, list[str]]:
    """Context and endings as lm-evaluation-harness writes them."""
    context = f"{item.activity_label}: {item.ctx_a} {item.ctx_b.capitalize()}"
    return _without_tags(context), [_without_tags(ending) for ending in item.endings]


def _without_tags(text: str) -> str:
    """A text of WikiHow without the tags in brackets that its conversion left behind."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def read_openbookqa(path: Path) -> list[Question]:
    """Every question of an OpenBookQA file: the stem alone is the context.

    Raises:
        HeirloomError: it is not such a file.
    """
    return [
        Question(
            f"openbookqa/{item.id}",
            "openbookqa",
            item.question_stem,
            tuple(item.choices.text),
            item.gold,
        )
        for item in read_layout(path, OpenBookQA)
    ]


# Metrics


def expected_calibration_error(bins: int) -> Statistic:
    """The expected calibration error over bins of equal mass.

    The sum over the bins of their share of the examples times |mean confidence - accuracy|: the
    plain (L1, not debiased) estimate of Guo et al., 2017 (arXiv 1706.04599), equation 5, with bins
    of equally many examples instead of equal width. The bins are those of the package
    uncertainty-calibration (`get_ece_em`), see `_bin_numbers`.

    Returns:
        A statistic of the fields `confidence` and `accuracy`. Weights are counts: whole numbers.
    """

    def error(columns: Columns, weights: Array) -> Array:
        order = np.argsort(columns["confidence"], kind="stable")
        confidence, weights = columns["confidence"][order], weights[:, order]
        gaps = weights * (confidence - columns["accuracy"][order])
        numbers = _bin_numbers(confidence, weights, bins)
        numbers += np.arange(len(weights))[:, None] * bins  # every resample has its own bins
        sums = np.bincount(numbers.ravel(), gaps.ravel(), minlength=len(weights) * bins)
        return np.asarray(np.abs(sums.reshape(-1, bins)).sum(axis=1) / weights.sum(axis=1))

    return error


def _bin_numbers(confidence: Array, weights: Array, bins: int) -> NDArray[np.int64]:
    """The bin of equal mass that each example is in.

    Of N examples in ascending order, the first N mod `bins` bins take one more than the others.
    Equal confidences are never divided: all go into the bin of the first of them. Of fewer examples
    than bins, each has a bin of its own.

    Args:
        confidence: [n], ascending.
        weights: [b, n], how often each example counts.
        bins: Number of bins.

    Returns:
        Bin numbers from 0, [b, n].
    """
    total = weights.sum(axis=1, keepdims=True)
    parts = np.minimum(bins, total)
    size, larger = np.divmod(total, parts)
    # How many examples are less confident: the rank of the first of those equally confident.
    below = np.cumsum(weights, axis=1) - weights
    rank = below[:, np.searchsorted(confidence, confidence)]
    in_larger = rank // (size + 1)
    numbers = np.where(in_larger < larger, in_larger, (rank - larger) // size)
    # Examples of weight 0 behind all others have the rank N.
    return np.asarray(np.minimum(numbers, parts - 1), dtype=np.int64)


def reliability(records: Sequence[Record], bins: int = BINS) -> list[Record]:
    """The bins of a reliability diagram, the same that the expected calibration error uses.

    Args:
        records: Records of one data set; those without a confidence are left out.
        bins: Number of bins.

    Returns:
        For each bin, in ascending order: `low` and `high`, the least and the greatest confidence in
        it; `confidence` and `accuracy`, its means; `n`, its questions. Empty bins are left out.
    """
    known = [r for r in records if r["confidence"] is not None and r["accuracy"] is not None]
    known.sort(key=lambda record: record["confidence"])
    if not known:
        return []
    confidence = np.array([record["confidence"] for record in known])
    accuracy = np.array([record["accuracy"] for record in known])
    numbers = _bin_numbers(confidence, np.ones((1, len(known))), bins)[0]
    members = [numbers == number for number in np.unique(numbers)]
    return [
        {
            "low": float(confidence[inside].min()),
            "high": float(confidence[inside].max()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(accuracy[inside].mean()),
            "n": int(inside.sum()),
        }
        for inside in members
    ]


def _metrics(data_set: str) -> dict[str, Metric]:
    where = {"data_set": data_set}

    def error(bins: int, label: str) -> Metric:
        fields = ("confidence", "accuracy")
        statistic = expected_calibration_error(bins)
        return Metric("probability", "lower", fields, statistic, where, label=label)

    def share(field: str, label: str) -> Metric:
        return Metric("share of questions", "higher", (field,), mean_of(field), where, label=label)

    return {
        f"ece.{data_set}": error(BINS, "Calibration error (ECE)"),
        f"ece_1bin.{data_set}": error(1, "Calibration error (ECE, 1 bin)"),
        f"confidence.{data_set}": Metric(
            "probability", None, ("confidence",), mean_of("confidence"), where
        ),
        f"accuracy.{data_set}": share("accuracy", "Accuracy"),
        f"acc.{data_set}": share("acc", "Accuracy"),
        f"acc_norm.{data_set}": share("acc_norm", "Accuracy (length-normalised)"),
    }


METRICS = {name: metric for data_set in DATA_SETS for name, metric in _metrics(data_set).items()}


def _cost(options: CalibrationOptions, eval_prompts: int) -> Tokens:
    sets = sum(source is not None for source in (options.hellaswag, options.openbookqa))
    return reading(5_300, 150, sets=sets, limit=options.examples)


@benchmark(
    "calibration",
    label="Calibration",
    options=CalibrationOptions,
    metrics=METRICS,
    main=("ece.*", "accuracy.*"),
    cost=_cost,
    caveats=(RAISED_BY_NOISE,),
)
def profile_calibration(task: Task, options: CalibrationOptions) -> list[Record]:
    """Calibration on HellaSwag and OpenBookQA: confidence in answers against their accuracy.

    A model's confidence is the greatest of the probabilities p = softmax over a question's options
    of their mean token log-likelihoods.

    Returns:
        A record a question: id, data_set, gold, of every option the log-likelihood, the number of
        tokens and of characters, and the metrics of `measure`; null where an option could not be
        scored.
    """
    from heirloom.profiling.engines.likelihood import encode_option, score

    readers: dict[str, Callable[[Path], list[Question]]] = {
        "hellaswag": lambda path: read_hellaswag(path, text=options.text),
        "openbookqa": read_openbookqa,
    }
    questions: list[Question] = []
    for data_set, read in readers.items():
        source = getattr(options, data_set)
        if source is not None:
            questions += draw(
                read(task.data[source]),
                options.examples,
                seed=task.seed,
                id=lambda question: question.id,
                stratum=lambda question: str(question.gold),
                name=data_set,
            )
    groups = [
        [encode_option(task.model, question.context, f" {option}") for option in question.options]
        for question in questions
    ]
    scored = score(task.model, groups, work=task.work)
    return [_record(question, found) for question, found in zip(questions, scored, strict=True)]


def _record(question: Question, found: "Sequence[Likelihood]") -> Record:
    totals = [likelihood.total for likelihood in found]
    n_tokens = [likelihood.n_tokens for likelihood in found]
    n_characters = [len(option) for option in question.options]
    return {
        "id": question.id,
        "data_set": question.data_set,
        "gold": question.gold,
        "log_likelihoods": totals,
        "n_tokens": n_tokens,
        "n_characters": n_characters,
        **measure(totals, n_tokens, n_characters, question.gold),
    }


def measure(
    totals: Sequence[float | None],
    n_tokens: Sequence[int],
    n_characters: Sequence[int],
    gold: int,
) -> dict[str, float | None]:
    """What one question says about a model.

    Args:
        totals: Log-likelihood of each option.
        n_tokens: Tokens of each option.
        n_characters: Characters of each option, without the space in front.
        gold: Number of the right option.

    Returns:
        `confidence`, the greatest probability; `accuracy`, 1 if the option that has it is right;
        `acc` and `acc_norm`, the same of the option with the greatest log-likelihood and of that
        with the greatest log-likelihood a character, as lm-evaluation-harness scores them. Of
        options that tie, the first counts. All null if an option has no log-likelihood.

    Example:
        >>> measure([-2.0, -3.0], [1, 3], [4, 8], gold=1)
        {'confidence': 0.7310585786300049, 'accuracy': 1.0, 'acc': 0.0, 'acc_norm': 1.0}
    """
    known = [total for total in totals if total is not None]
    if len(known) < len(totals):
        return dict.fromkeys(("confidence", "accuracy", "acc", "acc_norm"))
    means = [total / n for total, n in zip(known, n_tokens, strict=True)]
    by_character = [total / n for total, n in zip(known, n_characters, strict=True)]
    best = max(means)
    return {
        "confidence": 1 / sum(math.exp(mean - best) for mean in means),
        "accuracy": float(means.index(best) == gold),
        "acc": float(known.index(max(known)) == gold),
        "acc_norm": float(by_character.index(max(by_character)) == gold),
    }
