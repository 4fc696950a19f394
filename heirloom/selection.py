"""Which candidates become a training set.

Candidates are grouped by prompt; at most one of each group is chosen:

- A candidate is usable if its completion holds more than white space. No rule chooses another.
- best: the usable candidate with the highest score (direction "maximise") or the lowest
  ("minimise"). A candidate whose score is null is never chosen. Among exactly equal scores the one
  with the smallest SHA-256 of "seed/prompt_id/teacher/sample" is chosen.
- random: the usable candidate with the smallest SHA-256 of "seed/random/prompt_id/teacher/sample".
  The draw of a prompt depends neither on the order of candidates nor on other prompts, and it is
  nested: from more candidates either the same one is drawn or one of the new.
- passive: the usable candidate with the lowest sample number, of a pool of one teacher.
- A prompt without a candidate that may be chosen is left out and counted as missing.

The order of the candidates changes nothing, and the best of one is that one.

In memory a candidate is a record of `candidates.jsonl` with its "teacher" added, and so is a score.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

from heirloom.errors import HeirloomError
from heirloom.files import Record

Direction = Literal["maximise", "minimise"]
Kind = Literal["passive", "random", "best"]

_Key = tuple[str, str, int]  # teacher, prompt id, sample


def select_best(
    candidates: list[Record], scores: list[Record], *, direction: Direction, seed: int
) -> list[Record]:
    """The best-scored usable candidate of every prompt.

    Args:
        candidates: records {"teacher", "prompt_id", "sample", "completion", "finish_reason"}.
        scores: one record {"teacher", "prompt_id", "sample", "score"} a candidate, in any order;
            a score of None marks a candidate that could not be scored.
        direction: whether the highest or the lowest score is best.
        seed: breaks ties.

    Returns:
        One record a prompt that has a candidate to choose, sorted by prompt id: {"prompt_id",
        "completion", "teacher", "sample", "finish_reason", "score", "n_candidates", "n_unscored",
        "n_tied"}. `n_candidates` counts all candidates of the prompt, `n_unscored` those without a
        score, `n_tied` the other usable candidates with exactly the chosen one's score.

    Raises:
        HeirloomError: candidates repeat, scores do not match them, or the direction is unknown.
    """
    if direction not in ("maximise", "minimise"):
        raise HeirloomError(
            f'The direction of an objective is "maximise" or "minimise", not {direction!r}.'
        )
    groups = _by_prompt(candidates)
    score_of = _match(scores, candidates)
    sign = -1.0 if direction == "maximise" else 1.0
    chosen = []
    for prompt_id, group in groups.items():
        own = {_key(candidate): score_of[_key(candidate)] for candidate in group}
        ranked = [
            (sign * score, _draw(f"{seed}", candidate), candidate)
            for candidate in group
            if _usable(candidate) and (score := own[_key(candidate)]) is not None
        ]
        if not ranked:
            continue
        value, _, winner = min(ranked, key=lambda entry: entry[:2])
        chosen.append(
            _row(
                prompt_id,
                winner,
                score=own[_key(winner)],
                n_candidates=len(group),
                n_unscored=sum(score is None for score in own.values()),
                n_tied=sum(other == value for other, _, _ in ranked) - 1,
            )
        )
    return chosen


def select_random(candidates: list[Record], *, seed: int) -> list[Record]:
    """One usable candidate of every prompt, drawn by hash.

    Args:
        candidates: as for `select_best`.
        seed: decides the draws.

    Returns:
        As `select_best`, with a score of None, and `n_unscored` and `n_tied` 0.

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


def training_set(
    prompts: list[Record],
    candidates_by_teacher: Mapping[str, list[Record]],
    scores_by_teacher: Mapping[str, list[Record]] | None,
    *,
    dataset: str,
    selection: Kind,
    pool: str,
    prompt_set: str,
    objective: str | None,
    metric: str | None,
    direction: Direction | None,
    seed: int,
) -> tuple[list[Record], Record]:
    """Build a training set and its card.

    Args:
        prompts: records {"id", "text"} of the training split.
        candidates_by_teacher: each teacher's records of `candidates.jsonl`.
        scores_by_teacher: each teacher's scores, for selection "best"; else None.
        dataset: the data set's id.
        selection: "passive", "random" or "best".
        pool: name of the pool.
        prompt_set: name of the prompt set.
        objective: the objective's name, for "best".
        metric: the metric that scored the candidates, for "best".
        direction: "maximise" or "minimise", for "best".
        seed: decides ties and draws.

    Returns:
        The rows of `train.jsonl` in the order of `prompts`, and the content of `card.json`.

    Raises:
        HeirloomError: scores are given or lacking against the selection; a prompt id repeats or is
            unknown; as the selection itself; or nothing could be chosen for any prompt.
    """
    texts = _texts(prompts)
    candidates = _flatten(candidates_by_teacher)
    for candidate in candidates:
        if candidate["prompt_id"] not in texts:
            raise HeirloomError(
                f"Teacher {candidate['teacher']} has a candidate for prompt "
                f"{candidate['prompt_id']!r}, which the prompt set {prompt_set!r} does not hold. "
                "The prompts have changed since: generate the candidates again."
            )
    if selection == "best":
        if scores_by_teacher is None or direction is None:
            raise HeirloomError(f"{dataset}: selection 'best' needs scores and a direction.")
        chosen = select_best(
            candidates, _flatten(scores_by_teacher), direction=direction, seed=seed
        )
    elif scores_by_teacher is not None or direction is not None:
        raise HeirloomError(f"{dataset}: selection {selection!r} takes no scores and no direction.")
    elif selection == "random":
        chosen = select_random(candidates, seed=seed)
    elif selection == "passive":
        chosen = select_passive(candidates)
    else:
        raise HeirloomError(
            f"{dataset}: there is no selection {selection!r}; it is 'passive', 'random' or 'best'."
        )
    if not chosen:
        reason = " with a score" if selection == "best" else ""
        raise HeirloomError(
            f"{dataset}: none of {len(texts)} prompts has a completion that is not empty{reason}. "
            "Look at the pool's candidates and scores."
        )
    by_prompt = {row["prompt_id"]: row for row in chosen}
    rows = [
        {"prompt_id": prompt_id, "prompt": text, **by_prompt[prompt_id]}
        for prompt_id, text in texts.items()
        if prompt_id in by_prompt
    ]
    used = Counter(row["teacher"] for row in rows)
    card: Record = {
        "dataset": dataset,
        "selection": selection,
        "pool": pool,
        "teachers": list(candidates_by_teacher),
        "prompts": prompt_set,
        "objective": objective,
        "metric": metric,
        "direction": direction,
        "seed": seed,
        "n": len(rows),
        "n_missing": len(texts) - len(rows),
        "n_tied": sum(row["n_tied"] > 0 for row in rows),
        "n_truncated": sum(row["finish_reason"] == "length" for row in rows),
        "teacher_counts": {teacher: used[teacher] for teacher in candidates_by_teacher},
    }
    return rows, card


def _select(candidates: list[Record], order: Callable[[Record], int]) -> list[Record]:
    """The usable candidate of every prompt that comes first in `order`."""
    chosen = []
    for prompt_id, group in _by_prompt(candidates).items():
        usable = [candidate for candidate in group if _usable(candidate)]
        if usable:
            winner = min(usable, key=order)
            chosen.append(
                _row(prompt_id, winner, score=None, n_candidates=len(group), n_unscored=0, n_tied=0)
            )
    return chosen


def _row(
    prompt_id: str,
    candidate: Record,
    *,
    score: float | None,
    n_candidates: int,
    n_unscored: int,
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


def _texts(prompts: list[Record]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for prompt in prompts:
        if prompt["id"] in texts:
            raise HeirloomError(f"The prompt id {prompt['id']!r} occurs twice in the prompts.")
        texts[prompt["id"]] = prompt["text"]
    return texts


def _flatten(by_teacher: Mapping[str, list[Record]]) -> list[Record]:
    return [
        {**record, "teacher": teacher}
        for teacher, records in by_teacher.items()
        for record in records
    ]
