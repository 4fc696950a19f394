"""The results of a study, loaded: everything that tables, figures and the report are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, read_jsonl

ScoreKey = tuple[str, int]
Pool = tuple[str, str]


@dataclass(frozen=True)
class Results:
    """Everything below a results folder that tables and the report need.

    Attributes:
        plan: The plan.
        paths: Paths of the files.
        profiles: Model to benchmark to profile.
        records: Model to benchmark to the records of that profile, one per example.
        cards: Training set to card.
        training: Training set to training examples.
        candidates: (teacher, prompts) to candidates.
        scores: (teacher, prompts) to metric to (prompt id, sample) to score or None. Only metrics
            that an objective of the plan names, and only where they were scored.
        prompts: (prompts, split) to prompt id to text.
    """

    plan: Plan
    paths: Paths
    profiles: Mapping[str, Mapping[str, Record]]
    records: Mapping[str, Mapping[str, list[Record]]]
    cards: Mapping[str, Record]
    training: Mapping[str, list[Record]]
    candidates: Mapping[Pool, list[Record]]
    scores: Mapping[Pool, Mapping[str, Mapping[ScoreKey, float | None]]]
    prompts: Mapping[tuple[str, str], Mapping[str, str]]


def load_results(root: str | Path) -> Results:
    """Load the results of the study whose folder is `root`, as far as its plan names them.

    Raises:
        HeirloomError: A file that the plan implies is missing or malformed.
    """
    paths = Paths(str(root))
    plan = Plan.read(paths.plan())
    pairs = [(model, name) for model in plan.models for name in plan.benchmarks]
    profiles: dict[str, dict[str, Record]] = {model: {} for model in plan.models}
    records: dict[str, dict[str, list[Record]]] = {model: {} for model in plan.models}
    for model, name in pairs:
        profiles[model][name] = read_json(paths.profile(model, name))
        records[model][name] = read_jsonl(paths.records(model, name))
    return Results(
        plan=plan,
        paths=paths,
        profiles=profiles,
        records=records,
        cards={name: read_json(paths.dataset(name, "card.json")) for name in plan.datasets},
        training={name: read_jsonl(paths.dataset(name, "train.jsonl")) for name in plan.datasets},
        candidates={pool: read_jsonl(paths.candidates(*pool)) for pool in plan.pools},
        scores={pool: _load_scores(paths, plan, pool) for pool in plan.pools},
        prompts={
            (name, split): {row["id"]: row["text"] for row in read_jsonl(file)}
            for name in plan.study.prompts
            for split in ("train", "eval")
            if (file := Path(paths.prompts(name, split))).exists()
        },
    )


def _load_scores(paths: Paths, plan: Plan, pool: Pool) -> dict[str, dict[ScoreKey, float | None]]:
    teacher, prompts = pool
    objectives = plan.objectives.values()
    needed = {m for o in objectives if o.prompts == prompts for m in o.scored_by}
    scores = {}
    for metric in sorted({metric for objective in objectives for metric in objective.scored_by}):
        path = Path(paths.scores(teacher, prompts, metric))
        if metric in needed or path.exists():
            scores[metric] = {
                (row["prompt_id"], row["sample"]): row["score"] for row in read_jsonl(path)
            }
    return scores


def chosen_scores(results: Results, dataset: str, metric: str) -> dict[str, float | None]:
    """Prompt id to the score of the completion that a training set chose; {} if never scored.

    Raises:
        HeirloomError: The scores belong to other candidates.
    """
    prompts = results.plan.datasets[dataset].prompts
    chosen: dict[str, float | None] = {}
    for row in results.training[dataset]:
        scores = results.scores[row["teacher"], prompts].get(metric)
        if scores is None:
            continue
        key = (row["prompt_id"], row["sample"])
        if key not in scores:
            raise HeirloomError(
                f"{results.paths.scores(row['teacher'], prompts, metric)} has no score for prompt "
                f"{key[0]!r}, sample {key[1]}, which "
                f"{results.paths.dataset(dataset, 'train.jsonl')} chose. The two come from "
                "different candidates: delete the scores and run again."
            )
        chosen[row["prompt_id"]] = scores[key]
    return chosen
