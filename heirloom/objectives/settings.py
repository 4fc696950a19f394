"""Section of the study file about metrics."""

from typing import Any

from pydantic import (
    Field,
)

from heirloom.support.settings import Section


class Metric(Section):
    """A number measured on a text; every candidate gets every metric."""

    function: str = Field(
        ...,
        description="A scorer of `heirloom/objectives/` by name, or your own as `module:function`.",
    )
    options: dict[str, Any] = Field({}, description="Keyword arguments for the scorer.")
