"""Patterns for the wildcards of rules."""

import os
import re
from collections.abc import Iterable
from itertools import groupby


def any_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches only these names.

    Shared prefixes are factored out: Snakemake puts the expression into every pattern, and planning
    would be slow with a thousand names listed one by one.
    """
    alike = [list(group) for _, group in groupby(sorted(set(names)), lambda name: name[:1])]
    branches = []
    for group in alike:
        # Of characters, not of path components.
        start = os.path.commonprefix(group)  # noqa: RUF071
        ends = [name.removeprefix(start) for name in group]
        branches.append(re.escape(start) + (any_of(ends) if len(ends) > 1 else ""))
    return f"(?:{'|'.join(branches)})" if branches else "none"
