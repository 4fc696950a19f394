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

    direction: Direction = Field(..., description="Better direction of its scores.")
    weight: float = Field(1, gt=0, description="Weight relative to the other metrics.")


class Bounds(Section):
    """Range of allowed scores, both ends included."""

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
    """The prompts, each with its chosen candidate, that make the training set."""

    fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Keep this share of the prompts, those whose best candidates score best.",
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
        """The scores that are kept; None where a share of the prompts is."""
        if self.fraction is not None:
            return None
        return Bounds(at_least=self.at_least, at_most=self.at_most)

    def __str__(self) -> str:
        if self.fraction is not None:
            return f"the best {100 * self.fraction:g} % of the prompts"
        return f"prompts whose best scores {self.bounds}"


class Criteria(Section):
    """Everything that decides among the candidates of a prompt, and among prompts."""

    metric: Name | None = Field(None, description="One of `metrics`, where one decides alone.")
    direction: Direction | None = Field(None, description="Better direction of its scores.")
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
    strategy: name_in(STRATEGIES, only=serves_objectives) = Field(  # type: ignore[valid-type]
        "best", description="Selection strategy: how a candidate is chosen by these metrics."
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
        """Every metric that it takes to choose, each once."""
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


class Objective(Criteria):
    """A property to steer students towards: one metric and a direction, or several metrics."""

    prompts: Name | None = Field(
        None, description="Prompts of its own. Left out: `training_prompts`."
    )
    pools: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="Pools to choose from, and bases for a set of their own candidates. Left out: "
        "every pool, and every base that is a teacher.",
    )
    measured_by: str = Field(
        ...,
        description="Profile metric in which a student's inheritance shows, `benchmark.metric` "
        "(`text.mtld`).",
    )

    def decides(self) -> dict[str, Any]:
        """Everything that decides the choice, as JSON from which `Criteria` is read back.

        The prompts, the pools and the profile metric decide nothing about a given pool: a rule with
        this parameter does not select again when they change, nor when a default is spelled out.
        """
        own = set(Criteria.model_fields)
        return self.model_dump(mode="json", include=own, exclude_defaults=True)


class Ablation(Section):
    """Best-of sets from fewer candidates, the first of those that there are."""

    objectives: Annotated[Names, Field(min_length=1)] = Field(
        ..., description="Objectives to choose for."
    )
    pool: Name = Field(..., description="The pool to choose from.")
    candidates: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(distinct)] = Field(
        ...,
        min_length=1,
        description="Candidates per prompt and teacher, each fewer than `generation.k`.",
    )
