"""Build a training set and its card from candidates and their scores."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace

from heirloom.select.strategies import (
    Criteria,
    Kind,
    keep_best,
    select_best,
    select_passive,
    select_random,
)
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


def training_set(
    prompts: list[Record],
    candidates_by_teacher: Mapping[str, list[Record]],
    scores: Mapping[str, Mapping[str, list[Record]]],
    *,
    dataset: str,
    selection: Kind,
    pool: str,
    prompt_set: str,
    objective: str | None,
    criteria: Criteria | None,
    seed: int,
    k: int | None = None,
    prompt_ids: Collection[str] | None = None,
) -> tuple[list[Record], Record]:
    """Build a training set and its card.

    Args:
        prompts: records {"id", "text"} of the training split.
        candidates_by_teacher: each teacher's records of `candidates.jsonl`.
        scores: metric to each teacher's scores, of what `criteria` names; else empty.
        dataset: the data set's id.
        selection: "passive", "random" or "best".
        pool: name of the pool.
        prompt_set: name of the prompt set.
        objective: the objective's name, for "best".
        criteria: what it is, for "best".
        seed: decides ties and draws.
        k: choose among the first k samples of each teacher only.
        prompt_ids: choose for these prompts only: a control has those of its best set.

    Returns:
        The rows of `train.jsonl` in the order of `prompts`, and the content of `card.json`. There,
        `n_prompts` is how many prompts there were, of which `n_missing` had nothing to choose,
        `n_ineligible` of them only because of a bound, and `n_dropped` were not kept: `n` remain.

    Raises:
        HeirloomError: criteria are given or lacking against the selection; a prompt id repeats or
            is unknown; as the selection itself; or nothing could be chosen for any prompt.
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
    if prompt_ids is not None:
        texts = {prompt_id: text for prompt_id, text in texts.items() if prompt_id in prompt_ids}

    def offered(record: Record) -> bool:
        return (k is None or record["sample"] < k) and record["prompt_id"] in texts

    candidates = list(filter(offered, candidates))
    n_ineligible = n_dropped = 0
    if selection == "best":
        if criteria is None:
            raise HeirloomError(f"{dataset}: selection 'best' needs criteria.")
        pooled = {m: list(filter(offered, _flatten(found))) for m, found in scores.items()}
        best = select_best(candidates, pooled, criteria, seed=seed)
        if criteria.where:
            unbound = replace(criteria, where={})
            n_ineligible = len(select_best(candidates, pooled, unbound, seed=seed)) - len(best)
        chosen = keep_best(best, criteria, seed=seed)
        n_dropped = len(best) - len(chosen)
    elif criteria is not None:
        raise HeirloomError(f"{dataset}: selection {selection!r} takes no criteria.")
    elif selection == "random":
        chosen = select_random(candidates, seed=seed)
    elif selection == "passive":
        chosen = select_passive(candidates)
    else:
        raise HeirloomError(
            f"{dataset}: there is no selection {selection!r}; it is 'passive', 'random' or 'best'."
        )
    if not chosen:
        raise HeirloomError(_nothing(dataset, len(texts), criteria, n_ineligible, n_dropped))
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
        "k": k,
        "objective": objective,
        "criteria": asdict(criteria) if criteria else None,
        "seed": seed,
        "n": len(rows),
        "n_prompts": len(texts),
        "n_missing": len(texts) - len(rows) - n_dropped,
        "n_ineligible": n_ineligible,
        "n_dropped": n_dropped,
        "n_tied": sum(row["n_tied"] > 0 for row in rows),
        "n_truncated": sum(row["finish_reason"] == "length" for row in rows),
        "teacher_counts": {teacher: used[teacher] for teacher in candidates_by_teacher},
    }
    return rows, card


def _nothing(
    dataset: str, n_prompts: int, criteria: Criteria | None, n_ineligible: int, n_dropped: int
) -> str:
    """Why a training set is empty, and what to look at."""
    if n_dropped:
        return f"{dataset}: keep drops all of {n_prompts} prompts. Loosen it."
    if n_ineligible:
        return (
            f"{dataset}: no candidate of {n_prompts} prompts is within the bounds of where. Loosen "
            "them."
        )
    reason = " with a score" if criteria else ""
    return (
        f"{dataset}: none of {n_prompts} prompts has a completion that is not empty{reason}. Look "
        "at the pool's candidates and scores."
    )


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
