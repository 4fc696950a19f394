"""Metrics of benchmarks: what a number means, and how it follows from records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from heirloom.objectives import Scorer
from heirloom.statistics.estimates import estimate
from heirloom.statistics.resampling import Statistic, mean_of
from heirloom.support.files import Record


@dataclass(frozen=True)
class Spread:
    """Spread of a metric over examples that is assumed until a study has measured it.

    Attributes:
        sd: Standard deviation over examples of the paired difference between two models, as a share
            of the mean.
        scored: Share of examples that have a value for both models.
    """

    sd: float
    scored: float = 1.0


@dataclass(frozen=True)
class Metric:
    """The meaning of one number of a benchmark, and how it follows from the records.

    Attributes:
        unit: Its unit.
        direction: The better direction, if there is one.
        fields: The record fields that `statistic` uses. Empty: the field of the metric's own name.
            A record without one of them, or with null there, is missing and counted.
        statistic: Maps these fields of many records to the number. None: the mean of the first.
        where: Values that a record must have to count, such as a category
            (`{"category": "gender"}`). Other records are neither used nor missing.
        relative: True if the metric is on a ratio scale, so that percentage changes are meaningful.
            Otherwise changes are shown as differences.
        compared: False for a number that is reported without interval or comparison, such as a p
            value.
        of_whole_text: True if it depends on where a text ends, as lengths and counts do, so that a
            limit on tokens changes it.
        spread: Its spread over examples, for the power of a study before it runs; None if unknown.
        label: Its name for a reader, without its category. Empty: the part of its name before the
            dot, with spaces for underscores, capitalised.
        scorer: The study's metric whose scores it follows from; empty if there is none.
    """

    unit: str
    direction: Literal["higher", "lower"] | None = None
    fields: tuple[str, ...] = ()
    statistic: Statistic | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    relative: bool = True
    compared: bool = True
    of_whole_text: bool = False
    spread: Spread | None = None
    label: str = ""
    scorer: str = ""

    def uses(self, name: str) -> tuple[tuple[str, ...], Statistic]:
        """Return the fields and the statistic of the metric called `name`."""
        fields = self.fields or (name,)
        return fields, self.statistic or mean_of(fields[0])

    def selects(self, record: Record) -> bool:
        """Return True if the metric is about this record."""
        return self.where.items() <= record.items() if self.where else True


def mean_score(metric: str, scorer: Scorer | None) -> Metric:
    """Return the mean score by a metric of the study, from the field `score.<metric>` of records.

    Args:
        metric: Its name in the study file.
        scorer: Its scorer, which states unit, direction and scale; None where it is not known.
    """
    if scorer is None:
        return Metric("score", fields=(f"score.{metric}",), scorer=metric)
    return Metric(
        scorer.unit or "score",
        scorer.direction,
        fields=(f"score.{metric}",),
        relative=scorer.relative,
        scorer=metric,
    )


def summarise(
    records: Sequence[Record], metrics: Mapping[str, Metric], *, seed: int
) -> dict[str, Record]:
    """Return every metric of the records, with its 95 % bootstrap interval.

    Metrics of categories that no record belongs to are left out.

    Args:
        records: One record per example.
        metrics: Metrics by name.
        seed: Seed of the resampling.

    Returns:
        Metric to {value, unit, direction, n, n_missing, interval}; `interval` is [low, high] or
        None.
    """
    summary = {}
    for name, metric in metrics.items():
        selected = [record for record in records if metric.selects(record)]
        if metric.where and not selected:
            continue
        fields, statistic = metric.uses(name)
        # One resample is enough where the interval is thrown away.
        resamples = 10_000 if metric.compared else 1
        value = estimate(selected, statistic, fields, seed=seed, resamples=resamples)
        known = metric.compared and value.low is not None
        summary[name] = {
            "value": value.value,
            "unit": metric.unit,
            "direction": metric.direction,
            "n": value.n,
            "n_missing": value.n_missing,
            "interval": [value.low, value.high] if known else None,
        }
    return summary
