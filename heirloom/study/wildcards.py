"""Patterns for the wildcards of rules."""

import os
import re
from collections.abc import Iterable
from itertools import groupby


def any_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches these names alone.

    Names that start alike share their start: Snakemake puts it into every pattern, and of a
    thousand students written out one by one it would be slow to plan a run.
    """
    alike = [list(group) for _, group in groupby(sorted(set(names)), lambda name: name[:1])]
    branches = []
    for group in alike:
        # Of characters, not of path components.
        start = os.path.commonprefix(group)  # noqa: RUF071
        ends = [name.removeprefix(start) for name in group]
        branches.append(re.escape(start) + (any_of(ends) if len(ends) > 1 else ""))
    return f"(?:{'|'.join(branches)})" if branches else "none"
