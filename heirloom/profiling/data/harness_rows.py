"""Rows of the seven tasks of the harness that have a layout here, checked before they are used."""

from dataclasses import dataclass
from pathlib import Path

from heirloom.profiling.data.multiple_choice import (
    ARC,
    RTE,
    BoolQ,
    HellaSwag,
    Layout,
    OpenBookQA,
    WinoGrande,
    read_layout,
)


@dataclass(frozen=True)
class KnownRows:
    """A task of the harness.

    Attributes:
        config: Its configuration, a file below `lm_eval/tasks`.
        layout: Layout of its rows.
        acc_norm: True if the harness reports the length-normalised accuracy for it.
    """

    config: str
    layout: type[Layout]
    acc_norm: bool = True


KNOWN: dict[str, KnownRows] = {
    "boolq": KnownRows("super_glue/boolq/default.yaml", BoolQ, acc_norm=False),
    "rte": KnownRows("glue/rte/default.yaml", RTE, acc_norm=False),
    "hellaswag": KnownRows("hellaswag/hellaswag.yaml", HellaSwag),
    "winogrande": KnownRows("winogrande/default.yaml", WinoGrande, acc_norm=False),
    "arc_easy": KnownRows("arc/arc_easy.yaml", ARC),
    "arc_challenge": KnownRows("arc/arc_challenge.yaml", ARC),
    "openbookqa": KnownRows("openbookqa/openbookqa.yaml", OpenBookQA),
}


@dataclass(frozen=True)
class Example:
    """A row and the id of its example."""

    id: str
    row: Layout


def read_task(task: str, path: Path) -> list[Example]:
    """Read every row of a task's file.

    Raises:
        HeirloomError: It is not such a file.
    """
    rows = read_layout(path, KNOWN[task].layout)
    # WinoGrande and BoolQ have no ids, HellaSwag's repeat: there the row's number, from 0.
    return [Example(f"{task}/{getattr(row, 'id', number)}", row) for number, row in enumerate(rows)]
