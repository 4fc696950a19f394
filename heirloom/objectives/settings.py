"""Section of the study file about metrics."""

from typing import Any

from pydantic import Field

from heirloom.support.settings import Section


class Metric(Section):
    """A number measured on a text. Every candidate is scored by every metric."""

    function: str = Field(
        ...,
        description="Name of a scorer (table below), or a function of your own as "
        "`module:function`.",
    )
    options: dict[str, Any] = Field({}, description="Options of the scorer.")
