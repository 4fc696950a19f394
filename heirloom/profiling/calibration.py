"""Calibration: confidence in answers against their accuracy."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from heirloom.profiling import DataName, ItemSources, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.caveats import RAISED_BY_NOISE
from heirloom.profiling.cost import reading
from heirloom.profiling.data.multiple_choice import Question, read_hellaswag, read_openbookqa
from heirloom.profiling.engines import likelihood
from heirloom.profiling.engines.likelihood import Likelihood
from heirloom.statistics.resampling import Array, Columns, Statistic, mean_of
from heirloom.support.files import Record
from heirloom.support.subset import draw

BINS = 10
DATA_SETS = ("hellaswag", "openbookqa")


class CalibrationOptions(Options):
    """Options of the calibration benchmark. At least one data set is required."""

    hellaswag: DataName | None = Field(
        None, description="HellaSwag's validation set (its test set has no published answers)."
    )
    openbookqa: DataName | None = Field(
        None, description="OpenBookQA; the paper uses its test set."
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Number of questions per data set, drawn by seed in proportion to the "
        "position of the correct answer. Default: all.",
    )
    text: Literal["harness", "raw"] = Field(
        "harness",
        description="Form of HellaSwag's questions. `harness`: as in lm-evaluation-harness, with "
        "the activity in front and without bracketed tags; `raw`: `ctx` unchanged, as "
        "in the paper's toolkit.",
    )

    @model_validator(mode="after")
    def _some_data(self) -> Self:
        if self.hellaswag is None and self.openbookqa is None:
            raise ValueError("name a data set for hellaswag, openbookqa or both")
        return self


# Metrics


def expected_calibration_error(bins: int) -> Statistic:
    """Return the expected calibration error over bins of equal mass, as a statistic.

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
    """Bin of equal mass that each example falls into.

    Of N examples in ascending order, the first N mod `bins` bins take one more than the others.
    Equal confidences are never divided: all go into the bin of the first of them. With fewer
    examples than bins, each example has its own bin.

    Args:
        confidence: [n], ascending.
        weights: [b, n], the number of times that each example counts.
        bins: Number of bins.

    Returns:
        Bin numbers from 0, [b, n].
    """
    total = weights.sum(axis=1, keepdims=True)
    filled = np.minimum(bins, total)
    size, larger = np.divmod(total, filled)
    # Number of examples that are less confident: the rank of the first of those equally confident.
    below = np.cumsum(weights, axis=1) - weights
    rank = below[:, np.searchsorted(confidence, confidence)]
    in_larger = rank // (size + 1)
    numbers = np.where(in_larger < larger, in_larger, (rank - larger) // size)
    # Examples of weight 0 after all others have the rank N.
    return np.asarray(np.minimum(numbers, filled - 1), dtype=np.int64)


def reliability(records: Sequence[Record], bins: int = BINS) -> list[Record]:
    """Return the bins of a reliability diagram, the same that the expected calibration error uses.

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


def _items(sources: ItemSources, options: CalibrationOptions) -> dict[str, Sequence[str]]:
    """Every question with each of its options."""
    named = (
        (options.hellaswag, lambda path: read_hellaswag(path, text=options.text)),
        (options.openbookqa, read_openbookqa),
    )
    found = [
        question
        for source, read in named
        if source is not None
        for question in read(sources.data[source])
    ]
    return {
        question.id: [f"{question.context} {option}" for option in question.options]
        for question in found
    }


@benchmark(
    "calibration",
    label="Calibration",
    options=CalibrationOptions,
    metrics=METRICS,
    main=("ece.*", "accuracy.*"),
    cost=_cost,
    items=_items,
    caveats=(RAISED_BY_NOISE,),
)
def profile_calibration(task: Task, options: CalibrationOptions) -> list[Record]:
    """Calibration on HellaSwag and OpenBookQA: confidence in answers against their accuracy.

    A model's confidence is the greatest of the probabilities p = softmax over a question's options
    of their mean token log-likelihoods.

    Returns:
        One record per question: id, data_set, gold, per option the log-likelihood and the numbers
        of tokens and of characters, and the metrics of `measure`; null where an option could not be
        scored.
    """
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
        [
            likelihood.encode_option(task.model, question.context, f" {option}")
            for option in question.options
        ]
        for question in questions
    ]
    scored = likelihood.score(task.model, groups, work=task.work)
    return [_record(question, found) for question, found in zip(questions, scored, strict=True)]


def _record(question: Question, found: Sequence[Likelihood]) -> Record:
    totals = [one.total for one in found]
    n_tokens = [one.n_tokens for one in found]
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
    """Measure a model on one question.

    Args:
        totals: Log-likelihood of each option.
        n_tokens: Tokens of each option.
        n_characters: Characters of each option, without the space in front.
        gold: Number of the right option.

    Returns:
        `confidence`, the greatest probability; `accuracy`, 1 if the option that has it is right;
        `acc` and `acc_norm`, the same of the option with the greatest log-likelihood and of that
        with the greatest log-likelihood per character, as lm-evaluation-harness scores them. Of
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
