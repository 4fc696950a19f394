"""Building blocks of the sections of the study file."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="Lower-case letters, digits and single hyphens: names become part of file "
        "names.",
    ),
]

_Entry = TypeVar("_Entry", str, int)


def distinct(names: list[_Entry]) -> list[_Entry]:
    """Return the names unchanged if they are distinct.

    Raises:
        ValueError: A name is repeated.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{', '.join(map(str, repeated))} is named twice")
    return names


Names = Annotated[list[Name], AfterValidator(distinct)]


class Section(BaseModel):
    """A section of the study file. Unknown keys are errors, so that no typo passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)
