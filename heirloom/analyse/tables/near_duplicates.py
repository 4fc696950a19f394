"""Prompts that were left out because they nearly repeat another one."""

from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.study.plan import Plan, thinned
from heirloom.support.files import read_jsonl


@dataclass(frozen=True)
class LeftOut:
    """A row of the table: one prompt."""

    prompts: str
    id: str
    text: str
    like: str
    similarity: float


def _applies(plan: Plan) -> bool:
    return bool(thinned(plan))


@table(
    "near_duplicates",
    title="Near-duplicate prompts",
    text=text_of(LeftOut),
    order=96,
    applies=_applies,
    headings={"like": "Kept prompt", "prompts": "Prompt set"},
)
def near_duplicates(results: Results) -> pd.DataFrame:
    """Prompts that are left out because they nearly repeat one that is kept."""
    rows = [
        LeftOut(name, **record)
        for name in thinned(results.plan)
        for record in read_jsonl(results.paths.near_duplicates(name))
    ]
    return frame(rows, LeftOut)
