"""A figure: a bar per teacher."""

import pandas as pd

from heirloom.report.figures import figure
from heirloom.study.plan import Plan


@figure("ladder", title="Ladder", tables=("longest",))
def ladder(longest: pd.DataFrame, plan: Plan) -> str:
    """Longest candidate of every teacher, drawn as a ladder of bars."""
    bars = "".join(
        f'<rect x="0" y="{12 * row}" height="10" width="{tokens}"/>'
        for row, tokens in enumerate(longest["tokens"])
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" width="200" height="60">'
        f"<title>Longest candidates</title><desc>{plan.name}</desc>{bars}</svg>"
    )
