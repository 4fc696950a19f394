"""Build and check the pool of a training set from its teachers' candidates and scores."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from heirloom.select.pool import Candidate, Group, Key, Pool, described
from heirloom.select.settings import Criteria
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

ByTeacher = Mapping[str, Sequence[Record]]


def make_pool(
    candidates: ByTeacher,
    scores: Mapping[str, ByTeacher],
    criteria: Criteria | None,
    *,
    truncated: bool,
) -> Pool:
    """Group candidates by prompt, and mark those that may be chosen.

    Args:
        candidates: Records of `candidates.jsonl`, per teacher.
        scores: Records of the scores of exactly these candidates, per metric and teacher: of every
            metric that `criteria` takes to choose.
        criteria: None if the strategy takes none; then every usable candidate may be chosen.
        truncated: True if truncated candidates may be chosen.

    Raises:
        HeirloomError: Candidates repeat, or scores do not match them.
    """
    named = (_key(teacher, record) for teacher, records in candidates.items() for record in records)
    wanted = _unique(named, what="candidates")
    metrics = criteria.scored_by if criteria else []
    score_of = {metric: _match(metric, scores, wanted) for metric in metrics}
    by_prompt: dict[str, list[Candidate]] = {}
    for teacher, records in candidates.items():
        for record in records:
            key = _key(teacher, record)
            by_prompt.setdefault(key[1], []).append(
                Candidate(
                    *key,
                    record["completion"] or "",
                    record["finish_reason"],
                    {metric: score_of[metric][key] for metric in metrics},
                )
            )
    return Pool(
        tuple(
            _group(prompt, by_prompt[prompt], criteria, truncated) for prompt in sorted(by_prompt)
        ),
        tuple(sorted(teacher for teacher, records in candidates.items() if records)),
    )


def _group(prompt: str, own: list[Candidate], criteria: Criteria | None, truncated: bool) -> Group:
    ordered = sorted(own, key=lambda candidate: candidate.key)
    filled = [candidate for candidate in ordered if candidate.usable]
    usable = [candidate for candidate in filled if truncated or not candidate.truncated]
    excluded, all_truncated = len(filled) - len(usable), bool(filled) and not usable
    if criteria is None:
        return Group(prompt, tuple(usable), len(own), excluded, all_truncated=all_truncated)
    metrics, where = criteria.criteria, criteria.where

    def scored(candidate: Candidate) -> bool:
        return all(candidate.scores[metric] is not None for metric in metrics)

    def eligible(candidate: Candidate) -> bool:
        return all(bounds.admit(candidate.scores[metric]) for metric, bounds in where.items())

    choosable = [candidate for candidate in usable if scored(candidate)]
    open_to_choice = tuple(filter(eligible, choosable))
    return Group(
        prompt,
        open_to_choice,
        n_candidates=len(own),
        n_excluded=excluded,
        n_unscored=len(own) - sum(map(scored, own)),
        n_ineligible=len(own) - sum(map(eligible, own)),
        blocked=bool(choosable) and not open_to_choice,
        all_truncated=all_truncated,
    )


def _match(
    metric: str, scores: Mapping[str, ByTeacher], wanted: set[Key]
) -> dict[Key, float | None]:
    """Return the score of every candidate under a metric, checked to be complete."""
    if metric not in scores:
        raise HeirloomError(f"There are no scores by {metric}, which it takes to choose.")
    records = [
        (_key(t, record), record["score"]) for t, rs in scores[metric].items() for record in rs
    ]
    keys = _unique((key for key, _ in records), what="scores")
    for missing in sorted(wanted - keys)[:1]:
        raise HeirloomError(
            f"{len(wanted - keys)} candidates have no score, such as {described(missing)}. The "
            "scores belong to other candidates: score them again."
        )
    for surplus in sorted(keys - wanted)[:1]:
        raise HeirloomError(
            f"{len(keys - wanted)} scores have no candidate, such as {described(surplus)}. The "
            "scores belong to other candidates: score them again."
        )
    for key, score in records:
        if score is not None and not (
            isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
        ):
            raise HeirloomError(
                f"The score of {described(key)} is {score!r}; it must be a finite number, or null."
            )
    return dict(records)


def _unique(keys: Iterable[Key], *, what: str) -> set[Key]:
    counts = Counter(keys)
    for key in sorted(key for key, count in counts.items() if count > 1)[:1]:
        raise HeirloomError(
            f"There are {counts[key]} {what} for {described(key)}; there must be one."
        )
    return set(counts)


def _key(teacher: str, record: Record) -> Key:
    return teacher, record["prompt_id"], record["sample"]
