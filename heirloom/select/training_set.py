"""Build a training set and its card from candidates and their scores.

At most one candidate of each prompt is chosen, by a strategy (`heirloom.select.strategies`):

- No strategy chooses a candidate whose completion is empty or white space, nor a truncated one
  unless the prompt set admits those; for an objective, none without a score (null is not 0) and
  none outside a bound.
- A prompt without a candidate that may be chosen is left out and counted as missing.
- `keep` then keeps the prompts alone whose choices score best.

Fewer candidates are the first samples of each teacher, so that none is generated twice: those of
k = 2 are among those of k = 5.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path

from heirloom.select.candidates import ByTeacher, make_pool
from heirloom.select.pool import Choice, Group, Key, Pool
from heirloom.select.settings import Criteria
from heirloom.select.strategies import STRATEGIES
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_jsonl

#: The strategy of second draws, which are offered what the first left.
REDRAW = "redraw"


@dataclass(frozen=True)
class TrainingSet:
    """A training set, as the plan describes it.

    Attributes:
        id: Its name.
        selection: Name of the strategy.
        pool: Name of the pool.
        prompts: Name of the prompt set.
        objective: Name of the objective, for a strategy that serves one.
        criteria: The part of that objective that decides.
        k: Choose among the first k samples of each teacher; None: among all.
        truncated: Truncated completions may be chosen.
    """

    id: str
    selection: str
    pool: str
    prompts: str
    objective: str | None = None
    criteria: Criteria | None = None
    k: int | None = None
    truncated: bool = False

    def __post_init__(self) -> None:
        """Refuse criteria that the strategy does not use, or missing ones that it needs."""
        needs = STRATEGIES.get(self.selection).needs_objective
        if needs and self.criteria is None:
            raise HeirloomError(f"{self.id}: the strategy {self.selection!r} needs an objective.")
        if self.criteria is not None and not needs:
            raise HeirloomError(f"{self.id}: the strategy {self.selection!r} takes no objective.")

    @classmethod
    def read(cls, dataset: Record, criteria: Record | None, *, truncated: bool) -> "TrainingSet":
        """Build one from its record in the plan and from what its objective `decides`."""
        own = {field.name: dataset[field.name] for field in fields(cls) if field.name in dataset}
        chosen_by = Criteria.model_validate(criteria) if criteria else None
        return cls(**own, criteria=chosen_by, truncated=truncated)


@dataclass(frozen=True)
class Sources:
    """Records that a training set is built from.

    Attributes:
        prompts: Records {"id", "text"} of the training split.
        candidates: Records of `candidates.jsonl`, per teacher.
        scores: Records of the scores, per metric and teacher: of what the criteria take.
        kept: Choose for these prompts alone; None: for all. A control has those of its steered set.
        taken: Candidates that the first draw chose, for a second one.
    """

    prompts: Sequence[Record]
    candidates: ByTeacher
    scores: Mapping[str, ByTeacher] = field(default_factory=dict)
    kept: Collection[str] | None = None
    taken: Collection[Key] = ()


def read_sources(
    teachers: Sequence[str],
    *,
    prompts: Path,
    candidates: Sequence[Path],
    scores: Sequence[Path],
    kept: Sequence[Path],
) -> Sources:
    """Read the files of a training set.

    Args:
        teachers: Its teachers.
        prompts: The training split.
        candidates: One file per teacher, in their order.
        scores: Likewise for one metric after another; a file is named after its metric.
        kept: The training set whose prompts alone to choose for, if there is one; for a second
            draw, that of the first.
    """
    by_metric: dict[str, list[Path]] = {}
    for path in scores:
        by_metric.setdefault(path.stem, []).append(path)

    def by_teacher(paths: Sequence[Path]) -> dict[str, list[Record]]:
        return dict(zip(teachers, map(read_jsonl, paths), strict=True))

    rows = [row for path in kept for row in read_jsonl(path)]
    return Sources(
        read_jsonl(prompts),
        by_teacher(candidates),
        {metric: by_teacher(paths) for metric, paths in by_metric.items()},
        {row["prompt_id"] for row in rows} if kept else None,
        {(row["teacher"], row["prompt_id"], row["sample"]) for row in rows},
    )


def build_training_set(
    described: TrainingSet, sources: Sources, *, seed: int
) -> tuple[list[Record], Record]:
    """Choose completions.

    Args:
        described: The training set.
        sources: Prompts, candidates and scores.
        seed: Decides ties and draws.

    Returns:
        The rows of `train.jsonl` in the order of the prompts, and the content of `card.json`: of
        `n_prompts` prompts, `n_missing` had nothing to choose, `n_all_truncated` of them only
        because their completions are truncated and `n_ineligible` only because of a bound, and
        `n_dropped` were not kept; `n` remain. `n_excluded` counts the truncated candidates that
        were left out, and `unanswered` those without an answer, by reason. For a second draw,
        `n_repeated` counts the prompts for which only the candidate of the first could be chosen.

    Raises:
        HeirloomError: A prompt id repeats or is unknown; the files do not fit together; the
            strategy failed; or nothing could be chosen for any prompt.
    """
    texts = _texts(described, sources)
    offered = _offered(described, sources.candidates, texts)
    pool = make_pool(
        offered,
        {metric: _offered(described, found, texts) for metric, found in sources.scores.items()},
        described.criteria,
        truncated=described.truncated,
    )
    if described.selection == REDRAW:
        pool = _left_by(sources.taken, pool)
    choices = _select(described, pool, seed)
    kept = keep_best(choices, described.criteria, seed=seed)
    counts = {
        "n_prompts": len(texts),
        "n_missing": len(texts) - len(choices),
        "n_all_truncated": sum(group.all_truncated for group in pool.groups),
        "n_ineligible": sum(group.blocked for group in pool.groups),
        "n_dropped": len(choices) - len(kept),
        "n_excluded": sum(group.n_excluded for group in pool.groups),
        "unanswered": _unanswered(offered),
    }
    if not kept:
        raise HeirloomError(_nothing(described, counts))
    by_prompt = {choice.candidate.prompt_id: choice for choice in kept}
    groups = {group.prompt_id: group for group in pool.groups}
    rows = [
        {"prompt_id": key, "prompt": text, **_row(by_prompt[key], groups[key])}
        for key, text in texts.items()
        if key in by_prompt
    ]
    if described.selection == REDRAW:
        again = [(row["teacher"], row["prompt_id"], row["sample"]) for row in rows]
        counts["n_repeated"] = sum(key in sources.taken for key in again)
    return rows, _card(described, list(sources.candidates), seed, counts, rows)


def _texts(described: TrainingSet, sources: Sources) -> dict[str, str]:
    """Prompt id to text, of the prompts to choose for."""
    texts: dict[str, str] = {}
    for prompt in sources.prompts:
        if prompt["id"] in texts:
            raise HeirloomError(f"The prompt id {prompt['id']!r} occurs twice in the prompts.")
        texts[prompt["id"]] = prompt["text"]
    for teacher, records in sources.candidates.items():
        for record in records:
            if record["prompt_id"] not in texts:
                raise HeirloomError(
                    f"Teacher {teacher} has a candidate for prompt {record['prompt_id']!r}, which "
                    f"the prompt set {described.prompts!r} does not hold. The prompts have changed "
                    "since: generate the candidates again."
                )
    if sources.kept is None:
        return texts
    return {key: text for key, text in texts.items() if key in sources.kept}


def _offered(described: TrainingSet, found: ByTeacher, texts: Mapping[str, str]) -> ByTeacher:
    """Records of candidates, or of their scores, that the training set chooses among."""
    return {
        teacher: [
            record
            for record in records
            if (described.k is None or record["sample"] < described.k)
            and record["prompt_id"] in texts
        ]
        for teacher, records in found.items()
    }


def _left_by(taken: Collection[Key], pool: Pool) -> Pool:
    """Return the pool without what the first draw chose, but where nothing else may be chosen.

    There it is chosen again, so that both draws have the same prompts.
    """
    groups = []
    for group in pool.groups:
        others = tuple(one for one in group.candidates if one.key not in taken)
        groups.append(replace(group, candidates=others or group.candidates))
    return replace(pool, groups=tuple(groups))


def _unanswered(offered: ByTeacher) -> dict[str, int]:
    """Number of candidates without an answer, by the reason for it."""
    reasons = (
        record["finish_reason"]
        for records in offered.values()
        for record in records
        if record["completion"] is None
    )
    return dict(sorted(Counter(reasons).items()))


def _select(described: TrainingSet, pool: Pool, seed: int) -> list[Choice]:
    """Let the strategy choose, and check its choices."""
    select = STRATEGIES.get(described.selection).select
    choices = select(pool, described.criteria, seed=seed)
    offered = {candidate.key for group in pool.groups for candidate in group.candidates}
    prompts = Counter(choice.candidate.prompt_id for choice in choices)
    for choice in choices:
        candidate = choice.candidate
        if candidate.key not in offered or prompts[candidate.prompt_id] > 1:
            reason = "twice for this prompt" if candidate.key in offered else "outside the offer"
            raise HeirloomError(
                f"{described.id}: the strategy {described.selection!r} chose {reason}: {candidate}."
            )
    return choices


def keep_best(choices: list[Choice], criteria: Criteria | None, *, seed: int) -> list[Choice]:
    """Return the choices, one per prompt, that `criteria.keep` keeps; in the same order.

    A share is rounded up to whole prompts. Exactly equal scores at its edge are decided as ties
    within a prompt are.

    Raises:
        HeirloomError: A choice has no score to be kept by.
    """
    keep = criteria.keep if criteria else None
    if criteria is None or keep is None:
        return choices
    if any(choice.score is None for choice in choices):
        raise HeirloomError(
            f"keep needs the score of every choice, but the strategy {criteria.strategy!r} gives "
            "none: leave keep out."
        )
    if keep.bounds:
        return [choice for choice in choices if keep.bounds.admit(choice.score)]
    sign = -1 if criteria.direction_of_leading == "maximise" else 1

    def rank(choice: Choice) -> tuple[float, int]:
        return sign * (choice.score or 0), choice.candidate.draw(f"{seed}")

    n = math.ceil(Fraction(str(keep.fraction)) * len(choices))
    best = {choice.candidate.key for choice in sorted(choices, key=rank)[:n]}
    return [choice for choice in choices if choice.candidate.key in best]


def _row(choice: Choice, group: Group) -> Record:
    candidate = choice.candidate
    return {
        "completion": candidate.completion,
        "teacher": candidate.teacher,
        "sample": candidate.sample,
        "finish_reason": candidate.finish_reason,
        "score": choice.score,
        "n_candidates": group.n_candidates,
        "n_excluded": group.n_excluded,
        "n_unscored": group.n_unscored,
        "n_ineligible": group.n_ineligible,
        "n_tied": choice.n_tied,
    }


def _card(
    described: TrainingSet,
    teachers: list[str],
    seed: int,
    counts: Record,
    rows: list[Record],
) -> Record:
    used = Counter(row["teacher"] for row in rows)
    return {
        "dataset": described.id,
        "selection": described.selection,
        "pool": described.pool,
        "teachers": teachers,
        "prompts": described.prompts,
        "k": described.k,
        "objective": described.objective,
        "criteria": described.criteria and _criteria_record(described.criteria),
        "seed": seed,
        "n": len(rows),
        **counts,
        "n_tied": sum(row["n_tied"] > 0 for row in rows),
        "n_truncated": sum(row["finish_reason"] == "length" for row in rows),
        "teacher_counts": {teacher: used[teacher] for teacher in teachers},
    }


def _criteria_record(criteria: Criteria) -> Record:
    keep = criteria.keep
    return {
        "metrics": {name: found.model_dump() for name, found in criteria.criteria.items()},
        "where": {name: bounds.model_dump() for name, bounds in criteria.where.items()},
        "keep": keep
        and {
            "fraction": keep.fraction,
            "scores": {"at_least": keep.at_least, "at_most": keep.at_most},
        },
    }


def _nothing(described: TrainingSet, counts: Record) -> str:
    """Return the reason why a training set is empty, and what to do."""
    n = counts["n_prompts"]
    if counts["n_dropped"]:
        return f"{described.id}: keep drops all of {n} prompts. Loosen it."
    if counts["n_all_truncated"]:
        return (
            f"{described.id}: all completions of {counts['n_all_truncated']} of {n} prompts are "
            f"truncated, which is no training example. Raise prompts.{described.prompts}."
            f"max_new_tokens, or admit them by prompts.{described.prompts}.truncated."
        )
    if counts["n_ineligible"]:
        return (
            f"{described.id}: no candidate of {n} prompts is within the bounds of where. Loosen "
            "them."
        )
    reason = " with a score" if described.criteria else ""
    return (
        f"{described.id}: none of {n} prompts has a completion that is not empty{reason}. Look at "
        "the pool's candidates and scores."
    )
