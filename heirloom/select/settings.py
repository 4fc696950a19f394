"""Sections of the study file about selection: what training sets are steered towards."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from heirloom.select.strategies import STRATEGIES, serves_objectives
from heirloom.support.registry import name_in
from heirloom.support.settings import Name, Names, Section, distinct

Direction = Literal["maximise", "minimise"]


class Criterion(Section):
    """One of several metrics that decide together."""

    direction: Direction = Field(
        ..., description="Whether higher scores are better (`maximise`) or lower ones (`minimise`)."
    )
    weight: float = Field(1, gt=0, description="Weight relative to the other metrics.")


class Bounds(Section):
    """Range of allowed scores, both ends included."""

    at_least: float | None = Field(None, description="Lowest allowed score. Default: no limit.")
    at_most: float | None = Field(None, description="Highest allowed score. Default: no limit.")

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("give at_least, at_most or both")
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least {low:g} is above at_most {high:g}")
        return self

    def admit(self, score: float | None) -> bool:
        """True if the score is within the bounds; None never is."""
        return (
            score is not None
            and (self.at_least is None or score >= self.at_least)
            and (self.at_most is None or score <= self.at_most)
        )

    def __str__(self) -> str:
        ends = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{end} {value:g}" for end, value in ends.items() if value is not None)


class Keep(Section):
    """Restriction of the training set to its best prompts."""

    fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Keep this fraction of the prompts: those whose best candidates score best.",
    )
    at_least: float | None = Field(
        None, description="Keep prompts whose best candidate scores at least this."
    )
    at_most: float | None = Field(
        None, description="Keep prompts whose best candidate scores at most this."
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if sum(value is not None for value in (self.fraction, self.at_least, self.at_most)) != 1:
            raise ValueError("give one of fraction, at_least and at_most")
        return self

    @property
    def bounds(self) -> Bounds | None:
        """Range of scores that are kept; None if a fraction of the prompts is kept."""
        if self.fraction is not None:
            return None
        return Bounds(at_least=self.at_least, at_most=self.at_most)

    def __str__(self) -> str:
        if self.fraction is not None:
            return f"the best {100 * self.fraction:g} % of the prompts"
        return f"prompts whose best scores {self.bounds}"


class Criteria(Section):
    """Everything that determines the selection among candidates and among prompts."""

    metric: Name | None = Field(
        None, description="Name of the metric to select by, one of `metrics` at the top level."
    )
    direction: Direction | None = Field(
        None,
        description="Whether higher scores are better (`maximise`) or lower ones (`minimise`).",
    )
    metrics: dict[Name, Criterion] = Field(
        {},
        description="Instead of `metric` and `direction`: several metrics. The weighted mean of a "
        "candidate's ranks within its prompt decides. `measured_by` measures the "
        "first metric.",
    )
    where: dict[Name, Bounds] = Field(
        {}, description="Bounds by metric. A candidate outside of them is not eligible."
    )
    keep: Keep | None = Field(
        None, description="Make the training set from the best prompts only. Default: from all."
    )
    strategy: name_in(STRATEGIES, only=serves_objectives) = Field(  # type: ignore[valid-type]
        "best", description="Selection strategy (table under Training sets)."
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
    def leading(self) -> str:
        """Name of the first metric that decides, the one that `measured_by` measures."""
        return next(iter(self.criteria))

    @property
    def direction_of_leading(self) -> Direction:
        """Better direction of the first metric that decides."""
        return self.criteria[self.leading].direction

    @property
    def scored_by(self) -> list[str]:
        """All metrics needed for the selection, each once."""
        return list(dict.fromkeys([*self.criteria, *self.where]))

    @property
    def own_prompts(self) -> bool:
        """True if prompts may be left out, so that the control must leave out the same."""
        return bool(self.where or self.keep)

    def __str__(self) -> str:
        several = len(self.criteria) > 1
        text = " and ".join(
            f"{criterion.direction} {name}" + (f" (weight {criterion.weight:g})" if several else "")
            for name, criterion in self.criteria.items()
        )
        if self.where:
            text += " with " + ", ".join(f"{name} {ends}" for name, ends in self.where.items())
        if self.keep:
            text += f", {self.keep} only"
        return text if self.strategy == "best" else f"{text}, chosen by {self.strategy}"


def own_score(metric: str) -> str:
    """Return the profile metric that is the score of answers by a metric of the study."""
    return f"text.{metric}"


def _own_score_of(criteria: dict[str, Any]) -> str:
    """`own_score` of the first metric of validated criteria, if they have one."""
    return own_score(criteria.get("metric") or next(iter(criteria.get("metrics") or {}), ""))


class Objective(Criteria):
    """A property to steer students towards: one metric and a direction, or several metrics."""

    prompts: Name | None = Field(
        None, description="Prompt set to select for. Default: `training_prompts`."
    )
    pools: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="Pools to select from; a teacher's name stands for its candidates alone "
        "(single-source). Only the base itself is trained on the best of a base's candidates, "
        "unless `single_source` is `all`; every base on those of another teacher. Default: all "
        "pools, and all bases that are teachers (with `single_source: all`, all teachers).",
    )
    measured_by: str = Field(
        default_factory=_own_score_of,
        description="Profile metric that shows whether students inherit the property, as "
        "`benchmark.metric` (`toxicity.emt`). Default: `text.<metric>`, the score of the students' "
        "answers by the same metric, the first of several.",
    )

    expects: float | None = Field(
        None,
        gt=0,
        description="Size of the change, in percent, that the study is designed to detect. "
        "`make estimate` states whether the number of eval prompts suffices for it.",
    )

    def decides(self) -> dict[str, Any]:
        """Return everything that determines the selection, as JSON that `Criteria` reads back.

        Prompts, pools and profile metric do not affect the selection from a given pool: a rule with
        this parameter does not run again when they change, nor when a default is spelled out.
        """
        own = set(Criteria.model_fields)
        return self.model_dump(mode="json", include=own, exclude_defaults=True)


class Ablation(Section):
    """Training sets selected from fewer candidates: the first ones of each teacher."""

    objectives: Annotated[Names, Field(min_length=1)] = Field(
        ..., description="Objectives to select for."
    )
    pool: Name = Field(..., description="Pool to select from.")
    candidates: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(distinct)] = Field(
        ...,
        min_length=1,
        description="Numbers of candidates per prompt and teacher, each less than `generate.k`.",
    )
