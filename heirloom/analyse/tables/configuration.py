"""The settings of a study as a table."""

import json
from typing import Any

import pandas as pd

from heirloom.analyse.results import Results
from heirloom.analyse.tables import table

SETTINGS = ("key", "value")


@table("settings", title="Settings", order=100, text=SETTINGS)
def settings(results: Results) -> pd.DataFrame:
    """The study file flattened: dotted key, value as text (JSON, but strings without quotes)."""
    return pd.DataFrame(flatten(results.plan.config), columns=list(SETTINGS), dtype=str)


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted key and text of every leaf; a list of plain values is one leaf, in JSON."""
    if isinstance(value, dict) and value:
        pairs = [(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        pairs = [(f"{prefix}[{index}]", item) for index, item in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return [(prefix, text)]
    return [leaf for key, item in pairs for leaf in flatten(item, key)]
