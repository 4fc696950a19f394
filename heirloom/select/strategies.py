"""Which candidates become a training set.

Candidates are grouped by prompt; at most one of each group is chosen:

- A candidate is usable if its completion holds more than white space. No rule chooses another.
- best: the usable candidate with the highest score (direction "maximise") or the lowest
  ("minimise"). A candidate whose score is null is never chosen, nor is one that breaks a bound or
  has no score there. Among exactly equal scores the one with the smallest SHA-256 of
  "seed/prompt_id/teacher/sample" is chosen.
- best for several metrics: the score is the weighted mean of the candidate's ranks, over the
  candidates of the prompt that could be chosen. A rank runs from 0 (worst) to 1 (best), tied
  candidates share the mean of theirs, and a candidate alone has 1/2. Ranks need no common unit, and
  one extreme score does not decide for all metrics.
- random: the usable candidate with the smallest SHA-256 of "seed/random/prompt_id/teacher/sample".
  The draw of a prompt depends neither on the order of candidates nor on other prompts, and it is
  nested: from more candidates either the same one is drawn or one of the new.
- passive: the usable candidate with the lowest sample number, of a pool of one teacher.
- A prompt without a candidate that may be chosen is left out and counted as missing.
- Of the best candidates, one a prompt, a set may keep those alone whose scores are best.

Fewer candidates are the first samples of each teacher, so that none is generated twice: those of
k = 2 are among those of k = 5.

The order of the candidates changes nothing, and the best of one is that one.

In memory a candidate is a record of `candidates.jsonl` with its "teacher" added, and so is a score.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

Direction = Literal["maximise", "minimise"]
Kind = Literal["passive", "random", "best"]

_Key = tuple[str, str, int]  # teacher, prompt id, sample


@dataclass(frozen=True)
class Criterion:
    """A metric's part in a choice: which way is better, and its weight beside other metrics."""

    direction: Direction
    weight: float = 1


@dataclass(frozen=True)
class Bounds:
    """Scores from `at_least` to `at_most`, both included; None: no bound."""

    at_least: float | None = None
    at_most: float | None = None

    def admit(self, score: float | None) -> bool:
        """Whether a score is within the bounds; None never is."""
        return (
            score is not None
            and (self.at_least is None or score >= self.at_least)
            and (self.at_most is None or score <= self.at_most)
        )


@dataclass(frozen=True)
class Keep:
    """Which of the prompts' best candidates are kept: a share, or those from a score on.

    Attributes:
        fraction: the share with the best scores, rounded up to whole prompts; None: by score.
        scores: the scores that are kept.
    """

    fraction: float | None = None
    scores: Bounds = Bounds()


@dataclass(frozen=True)
class Criteria:
    """How the best candidate is told.

    Attributes:
        metrics: what decides: one metric by its score, several by their ranks.
        where: metric to the bounds that a candidate must be within.
        keep: which prompts' best candidates make the set, by the score of the only metric; None:
            all.
    """

    metrics: Mapping[str, Criterion]
    where: Mapping[str, Bounds] = field(default_factory=dict)
    keep: Keep | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name, criterion in self.metrics.items():
            if criterion.direction not in ("maximise", "minimise"):
                raise HeirloomError(
                    'The direction of an objective is "maximise" or "minimise", not '
                    f"{criterion.direction!r} ({name})."
                )
        if not self.metrics or (self.keep and len(self.metrics) > 1):
            raise HeirloomError(
                f"An objective needs a metric, and exactly one to keep the best prompts by; it has "
                f"{', '.join(self.metrics) or 'none'}."
            )

    @classmethod
    def read(cls, record: Record) -> "Criteria":
        """From an objective's "metrics", "where" and "keep" as the plan holds them."""
        keep = dict(record["keep"] or {})
        fraction = keep.pop("fraction", None)
        return cls(
            {name: Criterion(**values) for name, values in record["metrics"].items()},
            {name: Bounds(**values) for name, values in record["where"].items()},
            Keep(fraction, Bounds(**keep)) if record["keep"] else None,
        )


def select_best(
    candidates: list[Record],
    scores: Mapping[str, list[Record]],
    criteria: Criteria,
    *,
    seed: int,
) -> list[Record]:
    """The best candidate of every prompt, before any prompt is dropped.

    Args:
        candidates: records {"teacher", "prompt_id", "sample", "completion", "finish_reason"}.
        scores: for every metric of `criteria` one record {"teacher", "prompt_id", "sample",
            "score"} a candidate, in any order; a score of None marks a candidate that could not be
            scored.
        criteria: what is best.
        seed: breaks ties.

    Returns:
        One record a prompt that has a candidate to choose, sorted by prompt id: {"prompt_id",
        "completion", "teacher", "sample", "finish_reason", "score", "n_candidates", "n_unscored",
        "n_ineligible", "n_tied"}. `score` is that of the only metric, or else the weighted mean
        rank. `n_candidates` counts all candidates of the prompt, `n_unscored` those without a score
        for a metric that decides, `n_ineligible` those outside of a bound or without a score there,
        `n_tied` the other candidates that are exactly as good as the chosen one.

    Raises:
        HeirloomError: candidates repeat, or scores do not match them.
    """
    groups = _by_prompt(candidates)
    score_of = {metric: _match(scores[metric], candidates) for metric in scores}
    chosen = []
    for prompt_id, group in groups.items():
        keys = [_key(candidate) for candidate in group]
        scored = {k for k in keys if None not in [score_of[m][k] for m in criteria.metrics]}
        eligible = {
            key
            for key in keys
            if all(bounds.admit(score_of[m][key]) for m, bounds in criteria.where.items())
        }
        open_to_choice = {
            key: candidate
            for key, candidate in zip(keys, group, strict=True)
            if _usable(candidate) and key in scored and key in eligible
        }
        if not open_to_choice:
            continue
        merits = _merits(list(open_to_choice), score_of, criteria.metrics)
        best = max(merits.values())
        tied = [candidate for key, candidate in open_to_choice.items() if merits[key] == best]
        winner = min(tied, key=lambda candidate: _draw(f"{seed}", candidate))
        (metric, *others) = criteria.metrics
        chosen.append(
            _row(
                prompt_id,
                winner,
                score=float(best) if others else score_of[metric][_key(winner)],
                n_candidates=len(group),
                n_unscored=len(group) - len(scored),
                n_ineligible=len(group) - len(eligible),
                n_tied=len(tied) - 1,
            )
        )
    return chosen


def _merits(
    keys: list[_Key],
    score_of: Mapping[str, Mapping[_Key, float | None]],
    metrics: Mapping[str, Criterion],
) -> dict[_Key, float | Fraction]:
    """How good each of these scored candidates is, more is better: exact, so that ties are ties."""
    signed = {
        metric: {
            key: score if criterion.direction == "maximise" else -score
            for key in keys
            if (score := score_of[metric][key]) is not None
        }
        for metric, criterion in metrics.items()
    }
    if len(metrics) == 1:
        return dict(next(iter(signed.values())))
    # As decimals: 0.1 is meant where 0.1 is written.
    weights = {metric: Fraction(str(criterion.weight)) for metric, criterion in metrics.items()}
    ranks = {metric: _ranks(values) for metric, values in signed.items()}
    total = sum(weights.values())
    return {key: sum(weights[m] * ranks[m][key] for m in metrics) / total for key in keys}


def _ranks(values: Mapping[_Key, float]) -> dict[_Key, Fraction]:
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


def keep_best(rows: list[Record], criteria: Criteria, *, seed: int) -> list[Record]:
    """Those of the best candidates, one a prompt, that `criteria` keeps; in the same order.

    Exactly equal scores at the edge of a share are decided as ties within a prompt are.
    """
    keep = criteria.keep
    if keep is None:
        return rows
    if keep.fraction is None:
        return [row for row in rows if keep.scores.admit(row["score"])]
    (criterion,) = criteria.metrics.values()
    sign = -1 if criterion.direction == "maximise" else 1
    ranked = sorted(rows, key=lambda row: (sign * row["score"], _draw(f"{seed}", row)))
    kept = {_key(row) for row in ranked[: math.ceil(Fraction(str(keep.fraction)) * len(rows))]}
    return [row for row in rows if _key(row) in kept]


def select_random(candidates: list[Record], *, seed: int) -> list[Record]:
    """One usable candidate of every prompt, drawn by hash.

    Args:
        candidates: as for `select_best`.
        seed: decides the draws.

    Returns:
        As `select_best`, with a score of None, and no candidate counted as unscored, ineligible or
        tied.

    Raises:
        HeirloomError: candidates repeat.
    """
    return _select(candidates, lambda candidate: _draw(f"{seed}/random", candidate))


def select_passive(candidates: list[Record]) -> list[Record]:
    """The first usable sample of one teacher for every prompt.

    Args:
        candidates: as for `select_best`, all of one teacher.

    Returns:
        As `select_random`.

    Raises:
        HeirloomError: candidates repeat, or come from several teachers.
    """
    teachers = sorted({candidate["teacher"] for candidate in candidates})
    if len(teachers) > 1:
        raise HeirloomError(
            f"A passive training set has one teacher, but its pool has {', '.join(teachers)}."
        )
    return _select(candidates, lambda candidate: int(candidate["sample"]))


def _select(candidates: list[Record], order: Callable[[Record], int]) -> list[Record]:
    """The usable candidate of every prompt that comes first in `order`."""
    chosen = []
    for prompt_id, group in _by_prompt(candidates).items():
        usable = [candidate for candidate in group if _usable(candidate)]
        if usable:
            winner = min(usable, key=order)
            chosen.append(
                _row(
                    prompt_id,
                    winner,
                    score=None,
                    n_candidates=len(group),
                    n_unscored=0,
                    n_ineligible=0,
                    n_tied=0,
                )
            )
    return chosen


def _row(
    prompt_id: str,
    candidate: Record,
    *,
    score: float | None,
    n_candidates: int,
    n_unscored: int,
    n_ineligible: int,
    n_tied: int,
) -> Record:
    return {
        "prompt_id": prompt_id,
        "completion": candidate["completion"],
        "teacher": candidate["teacher"],
        "sample": candidate["sample"],
        "finish_reason": candidate["finish_reason"],
        "score": score,
        "n_candidates": n_candidates,
        "n_unscored": n_unscored,
        "n_ineligible": n_ineligible,
        "n_tied": n_tied,
    }


def _usable(candidate: Record) -> bool:
    return bool(candidate["completion"].strip())


def _draw(prefix: str, candidate: Record) -> int:
    """A number that depends on the candidate's name and the prefix only."""
    teacher, prompt_id, sample = _key(candidate)
    name = f"{prefix}/{prompt_id}/{teacher}/{sample}"
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def _key(record: Record) -> _Key:
    return record["teacher"], record["prompt_id"], record["sample"]


def _name(key: _Key) -> str:
    return f"teacher {key[0]}, prompt {key[1]}, sample {key[2]}"


def _by_prompt(candidates: list[Record]) -> dict[str, list[Record]]:
    """Candidates by prompt id, sorted by it."""
    _unique(candidates, what="candidates")
    groups: dict[str, list[Record]] = {}
    for candidate in sorted(candidates, key=lambda candidate: str(candidate["prompt_id"])):
        groups.setdefault(candidate["prompt_id"], []).append(candidate)
    return groups


def _match(scores: list[Record], candidates: list[Record]) -> dict[_Key, float | None]:
    """The score of every candidate, none lacking and none left over."""
    keys = _unique(scores, what="scores")
    wanted = {_key(candidate) for candidate in candidates}
    for lacking in sorted(wanted - keys)[:1]:
        raise HeirloomError(
            f"{len(wanted - keys)} candidates have no score, such as {_name(lacking)}. The scores "
            "belong to other candidates: score them again."
        )
    for surplus in sorted(keys - wanted)[:1]:
        raise HeirloomError(
            f"{len(keys - wanted)} scores have no candidate, such as {_name(surplus)}. The scores "
            "belong to other candidates: score them again."
        )
    for record in scores:
        score = record["score"]
        if score is not None and not (
            isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
        ):
            raise HeirloomError(
                f"The score of {_name(_key(record))} is {score!r}; it must be a finite number, or "
                "null."
            )
    return {_key(record): record["score"] for record in scores}


def _unique(records: list[Record], *, what: str) -> set[_Key]:
    counts = Counter(map(_key, records))
    for key in sorted(key for key, count in counts.items() if count > 1)[:1]:
        raise HeirloomError(f"There are {counts[key]} {what} for {_name(key)}; there must be one.")
    return set(counts)
