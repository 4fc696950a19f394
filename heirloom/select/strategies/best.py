"""Best: the candidate that scores best under an objective.

One metric decides by its score. Several decide by the weighted mean of the candidate's ranks, among
the candidates of its prompt that may be chosen. A rank runs from 0 (worst) to 1 (best), tied
candidates share the mean of theirs, and a candidate alone has 1/2. Ranks need no common unit, and
one extreme score does not decide for all metrics.

Among exactly equal scores the candidate with the smallest SHA-256 of
"seed/prompt_id/teacher/sample" is chosen.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from heirloom.select.pool import Candidate, Choice, Group, Key, Pool
from heirloom.select.settings import Criteria
from heirloom.select.strategies import strategy


def _reason(pool: str, criteria: Criteria) -> str:
    if len(criteria.criteria) > 1:
        return f"highest mean rank in {' and '.join(criteria.criteria)} of {pool}"
    end = "highest" if criteria.direction_of_leading == "maximise" else "lowest"
    return f"{end} {criteria.leading} of {pool}"


@strategy(
    "best",
    label="best for an objective",
    summary="The candidate that scores best; ties are broken by hash.",
    needs_objective=True,
    tag="active-inheritance",
    reason=_reason,
)
def best(pool: Pool, criteria: Criteria, *, seed: int) -> list[Choice]:
    """Choose the candidate of the best score; see the module's docstring.

    Returns:
        Choices with the score of the only metric, or with the mean rank if there are several.
    """
    return [_best_of(group, criteria, seed) for group in pool.groups if group.candidates]


def _best_of(group: Group, criteria: Criteria, seed: int) -> Choice:
    merits = _merits(group.candidates, criteria)
    highest = max(merits.values())
    tied = [candidate for candidate in group.candidates if merits[candidate.key] == highest]
    winner = min(tied, key=lambda candidate: candidate.draw(f"{seed}"))
    several = len(criteria.criteria) > 1
    score = float(highest) if several else winner.scores[criteria.leading]
    return Choice(winner, score, n_tied=len(tied) - 1)


def _merits(candidates: Sequence[Candidate], criteria: Criteria) -> dict[Key, float | Fraction]:
    """Merit per candidate, more is better: exact, so that ties are ties."""
    signed = {
        metric: {
            candidate.key: score if criterion.direction == "maximise" else -score
            for candidate in candidates
            if (score := candidate.scores[metric]) is not None
        }
        for metric, criterion in criteria.criteria.items()
    }
    if len(signed) == 1:
        return dict(signed[criteria.leading])
    # From decimals: 0.1 in a study file means a tenth.
    weights = {name: Fraction(str(found.weight)) for name, found in criteria.criteria.items()}
    ranks = {metric: _ranks(values) for metric, values in signed.items()}
    total = sum(weights.values())
    return {
        candidate.key: sum(weights[m] * ranks[m][candidate.key] for m in signed) / total
        for candidate in candidates
    }


def _ranks(values: Mapping[Key, float]) -> dict[Key, Fraction]:
    """Ranks from 0 for the lowest value to 1 for the highest; equal values share their mean."""
    others = len(values) - 1
    if not others:
        return dict.fromkeys(values, Fraction(1, 2))
    ordered = list(values.values())
    return {
        key: Fraction(
            2 * sum(other < value for other in ordered) + ordered.count(value) - 1, 2 * others
        )
        for key, value in values.items()
    }
