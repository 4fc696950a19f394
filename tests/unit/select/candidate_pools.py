"""Small pools of candidates with scores, for the tests of selection."""

import hashlib
import random
from collections.abc import Mapping

from heirloom.select.settings import Criteria
from heirloom.select.training_set import Sources, TrainingSet, build_training_set
from heirloom.support.files import Record


def candidate(
    prompt: str,
    sample: int,
    completion: str | None = "text",
    *,
    teacher: str = "t",
    finish: str = "stop",
) -> Record:
    """A record of `candidates.jsonl`, with its teacher."""
    return {
        "teacher": teacher,
        "prompt_id": prompt,
        "sample": sample,
        "completion": completion,
        "n_tokens": 3,
        "finish_reason": finish,
    }


def scores_for(candidates: list[Record], values: list[float | None]) -> list[Record]:
    """One record per candidate, with its teacher."""
    return [
        {**{key: record[key] for key in ("teacher", "prompt_id", "sample")}, "score": value}
        for record, value in zip(candidates, values, strict=True)
    ]


def by_teacher(records: list[Record]) -> dict[str, list[Record]]:
    """Records as their files hold them."""
    files: dict[str, list[Record]] = {}
    for record in records:
        own = {key: value for key, value in record.items() if key != "teacher"}
        files.setdefault(record["teacher"], []).append(own)
    return files


def single(direction: str, metric: str = "metric", **others: object) -> Criteria:
    """Criteria of one metric."""
    return Criteria.model_validate({"metric": metric, "direction": direction, **others})


def choose(
    strategy: str,
    candidates: list[Record],
    scores: Mapping[str, list[Record]] | None = None,
    criteria: Criteria | None = None,
    *,
    seed: int,
) -> list[Record]:
    """Rows of a training set of all these candidates, ordered by prompt id, without the prompts."""
    prompts = sorted({record["prompt_id"] for record in candidates})
    sources = Sources(
        [{"id": prompt, "text": "Say."} for prompt in prompts],
        by_teacher(candidates),
        {metric: by_teacher(records) for metric, records in (scores or {}).items()},
    )
    described = TrainingSet("d", strategy, "pool", "prompts", criteria=criteria)
    rows, _ = build_training_set(described, sources, seed=seed)
    return [{key: value for key, value in row.items() if key != "prompt"} for row in rows]


def best_of(
    candidates: list[Record], scores: list[Record], *, direction: str, seed: int
) -> list[Record]:
    """The best by one metric."""
    return choose("best", candidates, {"metric": scores}, single(direction), seed=seed)


def draw(name: str) -> str:
    """The hash that decides a draw."""
    return hashlib.sha256(name.encode()).hexdigest()


def random_pool(seed: int) -> tuple[list[Record], list[Record]]:
    """A pool with empty completions, null scores, ties, and prompts of different k."""
    rng = random.Random(seed)
    candidates = [
        candidate(f"p{prompt}", sample, rng.choice(["", " \n", "a", "b"]), teacher=teacher)
        for prompt in range(6)
        for teacher in ("t1", "t2")
        for sample in range(rng.randint(1, 4))
    ]
    values: list[float | None] = [rng.choice([None, 0.0, 1.0, 2.0]) for _ in candidates]
    return candidates, scores_for(candidates, values)
