"""Sections of the study file about its report."""

from typing import Literal, Self

from pydantic import Field, model_validator

from heirloom.select.strategies import STRATEGIES
from heirloom.support.registry import name_in
from heirloom.support.settings import Name, Section


class PublishedNumber(Section):
    """A number of another study, to stand next to this study's."""

    label: str = Field(
        ...,
        min_length=1,
        description="Short name for tables, which says that the number is not this study's "
        "(`paper, largest models`).",
    )
    number: float = Field(..., allow_inf_nan=False, description="The number as published.")
    unit: Literal["percent", "level"] = Field(
        "percent",
        description="`percent`: a change in percent of `against`. `level`: a value on the source's "
        "own scale, which is compared with nothing unless `compared_with` is given.",
    )
    compared_with: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="For a level: the published level of the base or control, on the same scale. "
        "The change in percent is computed from the two.",
    )
    bound: Literal["exact", "up-to", "over"] = Field(
        "exact",
        description="`up-to`: the source states the largest of several changes; `over`: a lower "
        "limit.",
    )
    source: str = Field(..., min_length=1, description="Citation.")
    url: str | None = Field(
        None, pattern=r"^https?://\S+$", description="Address of the source. Default: none."
    )
    objective: Name | None = Field(
        None,
        description="Objective of the training sets, or of those whose control they are. Required "
        "if `kind` selects for an objective.",
    )
    metric: str | None = Field(
        None,
        description="Profile metric, as `benchmark.metric`. Default: what measures `objective`.",
    )
    kind: name_in(STRATEGIES) = Field(  # type: ignore[valid-type]
        "best",
        description="Selection of the training sets. `random` includes passive sets that serve as "
        "controls.",
    )
    base: Name | None = Field(None, description="Only students of this base. Default: of any.")
    pool: Name | None = Field(
        None, description="Only training sets from this pool or teacher. Default: from any."
    )
    against: Literal["base", "control"] = Field(
        "base", description="Reference of the change: the base or the random control."
    )

    @model_validator(mode="after")
    def _about_something(self) -> Self:
        if self.objective is None and self.metric is None:
            raise ValueError("give objective, metric or both")
        if self.objective is None and STRATEGIES.get(self.kind).needs_objective:
            raise ValueError(f"kind: {self.kind} selects for an objective; give objective")
        if self.compared_with is not None and self.unit != "level":
            raise ValueError("compared_with belongs to a level; give unit: level, or remove it")
        return self

    @property
    def change(self) -> float | None:
        """Change in percent; None for a level that is compared with nothing."""
        if self.unit == "percent":
            return self.number
        return None if self.compared_with is None else 100 * (self.number / self.compared_with - 1)
