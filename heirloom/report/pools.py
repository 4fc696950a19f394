"""Every candidate for a prompt set, for the page's own search."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from heirloom.analyse.frames import unique
from heirloom.analyse.results import Results
from heirloom.generate.request import UNANSWERED
from heirloom.report.composition import teachers
from heirloom.report.user_text import truncated, visible
from heirloom.report.wording import count, number
from heirloom.select.strategies import STRATEGIES
from heirloom.study.plan import Dataset, Plan
from heirloom.support.files import Record

#: Bytes of JSON that the pools of all prompt sets may take together.
MOST_BYTES = 2_000_000
#: Candidates of a prompt set that are collected at most: more do not fit, at 80 bytes each.
MOST_CANDIDATES = MOST_BYTES // 80
_LONGEST = 4000


def collect_pool(results: Results, prompts: str) -> Record:
    """Return the candidates for a prompt set, their scores, and the training sets that chose them.

    A set with more than `MOST_CANDIDATES` keeps evenly spaced prompts, with all their candidates.

    Returns:
        {"name", "total": number of prompts, "metrics", "teachers": names, "sets": [{"name",
        "text"}], "prompts": [{"id", "text", "candidates": [{"teacher": position, "sample",
        "finish", "text", "scores"}], "chosen": [{"set": position,
        "candidate": position, "why"}]}]}.
    """
    plan = results.plan
    names = [name for name, data in plan.datasets.items() if data.prompts == prompts]
    answering = [name for name in teachers(plan) if (name, prompts) in results.candidates]
    pools = [scores for key, scores in results.scores.items() if key[1] == prompts]
    metrics = list(dict.fromkeys(metric for scores in pools for metric in scores))
    ids = unique(
        row["prompt_id"] for name in answering for row in results.candidates[name, prompts]
    )
    per_prompt = sum(len(results.candidates[name, prompts]) for name in answering) / max(
        1, len(ids)
    )
    kept = spread(ids, max(1, int(MOST_CANDIDATES / max(1, per_prompt))))
    candidates, position = _candidates(results, prompts, answering, metrics, set(kept))
    chosen: dict[str, list[Record]] = {key: [] for key in candidates}
    for index, name in enumerate(names):
        for row in results.training[name]:
            if row["prompt_id"] not in chosen:
                continue
            where = position[row["teacher"], row["prompt_id"], row["sample"]]
            why = reason(plan, plan.datasets[name], row)
            chosen[row["prompt_id"]].append({"set": index, "candidate": where, "why": why})
    texts = results.prompts.get((prompts, "train"), {})
    return {
        "name": prompts,
        "total": len(ids),
        "metrics": metrics,
        "teachers": answering,
        "sets": [{"name": name, "text": _described(plan.datasets[name])} for name in names],
        "prompts": [
            {
                "id": visible(key),
                "text": visible(texts.get(key, key)),
                "candidates": own,
                "chosen": chosen[key],
            }
            for key, own in candidates.items()
        ],
    }


def _candidates(
    results: Results,
    prompts: str,
    answering: Sequence[str],
    metrics: Sequence[str],
    kept: Collection[str],
) -> tuple[dict[str, list[Record]], dict[tuple[str, str, int], int]]:
    """Return candidates by prompt, and the position of each there by teacher, prompt and sample."""
    by_prompt: dict[str, list[Record]] = {}
    position: dict[tuple[str, str, int], int] = {}
    for index, teacher in enumerate(answering):
        scores = results.scores[teacher, prompts]
        for row in results.candidates[teacher, prompts]:
            if row["prompt_id"] not in kept:
                continue
            key = (row["prompt_id"], row["sample"])
            own = by_prompt.setdefault(row["prompt_id"], [])
            position[teacher, *key] = len(own)
            own.append(
                {
                    "teacher": index,
                    "sample": row["sample"],
                    "finish": row["finish_reason"],
                    "text": truncated(row["completion"] or "", _LONGEST),
                    "scores": [scores.get(metric, {}).get(key) for metric in metrics],
                }
            )
    return by_prompt, position


def absent(finish: str) -> str:
    """Return the words that stand in the place of a completion without text."""
    return f"(no answer: {finish.replace('_', ' ')})" if finish in UNANSWERED else "(empty)"


def _described(data: Dataset) -> str:
    """Return a training set in a few words: "best for length, from alpha and beta"."""
    text = f"{data.selection} for {data.objective}" if data.objective else data.selection
    return f"{text}, from {' and '.join(data.teachers)}"


def reason(plan: Plan, data: Dataset, row: Record) -> str:
    """Return why a training set chose a candidate.

    Args:
        plan: The study's plan.
        data: The training set there.
        row: Its row of `train.jsonl`.
    """
    strategy = STRATEGIES.get(data.selection)
    objective = plan.objectives[data.objective] if data.objective else None
    text = strategy.reason(count(row["n_candidates"], "candidate"), objective)
    if objective is None:
        return text
    parts = [text if row["score"] is None else f"{text}, {number(row['score'])}"]
    if objective.where:
        parts.append(f"among those within the bounds on {' and '.join(objective.where)}")
    if row["n_tied"]:
        parts.append(f"drawn among {row['n_tied'] + 1} with that score")
    if row["n_unscored"]:
        parts.append(f"{row['n_unscored']} without a score")
    return "; ".join(parts)


def embed(pools: Sequence[Record], *, most: int = MOST_BYTES) -> dict[str, Record]:
    """Return the pools as text for the page, made to fit: {"json", "shown", "total"} by name.

    The answers of `heirloom.report.answers`, which have the same form, likewise. Those larger than
    `most` bytes together keep evenly spaced prompts, the same share of each set.
    """
    packed = {pool["name"]: [_json(prompt) for prompt in pool["prompts"]] for pool in pools}
    sizes = {name: [len(text.encode()) + 1 for text in texts] for name, texts in packed.items()}
    total = sum(map(sum, sizes.values()))
    share = min(1.0, most / total) if total else 1.0
    found = {}
    for pool in pools:
        texts, own = packed[pool["name"]], sizes[pool["name"]]
        kept = spread(texts, fitting(own, int(len(texts) * share), share * sum(own)))
        head = _json({key: value for key, value in pool.items() if key not in ("prompts", "total")})
        found[pool["name"]] = {
            "json": f'{head[:-1]},"prompts":[{",".join(kept)}]}}',
            "shown": len(kept),
            "total": pool.get("total", len(texts)),
        }
    return found


def fitting(sizes: Sequence[int], n: int, room: float) -> int:
    """Return the number of at most n evenly spaced entries, of these sizes, that fit a room."""
    while (size := sum(spread(sizes, n))) > room:
        n = min(n - 1, int(n * room / size))
    return n


def _json(value: Any) -> str:
    """Return JSON that no HTML parser takes for markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def spread(entries: Sequence[Any], n: int) -> list[Any]:
    """Return at most n evenly spaced entries: the first of each n-th part."""
    n = min(n, len(entries))
    return [entries[index * len(entries) // n] for index in range(n)]
