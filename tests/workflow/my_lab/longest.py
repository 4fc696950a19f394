"""A table: the longest candidates."""

import pandas as pd

from heirloom.analyse.results import Results
from heirloom.analyse.tables import table


@table("longest", title="Longest candidates", text=["teacher", "prompts"])
def longest(results: Results) -> pd.DataFrame:
    """Longest candidate of every teacher, in tokens."""
    rows = [
        (teacher, prompts, max(row["n_tokens"] for row in pool))
        for (teacher, prompts), pool in results.candidates.items()
    ]
    return pd.DataFrame(rows, columns=["teacher", "prompts", "tokens"])
