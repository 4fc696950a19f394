"""Sections of the study file about what candidates are selected for."""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from heirloom.support.settings import Name, Names, Section, distinct

Direction = Literal["maximise", "minimise"]


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
    def leading(self) -> str:
        """Name of the first metric that decides."""
        return next(iter(self.criteria))

    @property
    def direction_of_leading(self) -> Direction:
        """Direction of the first metric that decides."""
        return self.criteria[self.leading].direction

    @property
    def scored_by(self) -> list[str]:
        """Every metric that it takes to choose, each once."""
        return list(dict.fromkeys([*self.criteria, *self.where]))

    @property
    def leading(self) -> str:
        """Name of the first metric, which `measured_by` measures."""
        return next(iter(self.criteria))

    @property
    def direction_of_leading(self) -> Direction:
        """Direction in which the first metric is better."""
        return self.criteria[self.leading].direction

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
    candidates: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(distinct)] = Field(
        ...,
        min_length=1,
        description="Candidates a prompt and teacher, each fewer than `generation.k`.",
    )
