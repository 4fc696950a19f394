"""The results of a study as they lie on disk: the only place that knows which file is where."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, read_jsonl

ScoreKey = tuple[str, int]
Pool = tuple[str, str]


@dataclass(frozen=True)
class Study:
    """Everything below a results folder that the tables and the report need.

    Attributes:
        plan: plan.json.
        profiles: model to benchmark to profile.
        records: model to benchmark to the records of that profile, one an example.
        cards: data set to card.
        training: data set to training examples.
        candidates: (teacher, prompts) to candidates.
        scores: (teacher, prompts) to metric to (prompt id, sample) to score or None. Only metrics
            that an objective of the plan names, and only where they were scored.
        prompts: (prompts, split) to prompt id to text.
    """

    plan: Record
    profiles: Mapping[str, Mapping[str, Record]]
    records: Mapping[str, Mapping[str, list[Record]]]
    cards: Mapping[str, Record]
    training: Mapping[str, list[Record]]
    candidates: Mapping[Pool, list[Record]]
    scores: Mapping[Pool, Mapping[str, Mapping[ScoreKey, float | None]]]
    prompts: Mapping[tuple[str, str], Mapping[str, str]]


def load_study(results: str | Path) -> Study:
    """Read what the plan in `results` names.

    Args:
        results: the folder of one study, with its plan.json.

    Raises:
        HeirloomError: a file the plan implies is missing or malformed.
    """
    root = Path(results)
    plan = read_json(root / "plan.json")
    pools = pools_of(plan)
    return Study(
        plan=plan,
        profiles={
            model: {
                name: read_json(root / "profiles" / model / f"{name}.json")
                for name in plan["benchmarks"]
            }
            for model in plan["models"]
        },
        records={
            model: {
                name: read_jsonl(root / "profiles" / model / f"{name}.records.jsonl")
                for name in plan["benchmarks"]
            }
            for model in plan["models"]
        },
        cards={
            name: read_json(root / "datasets" / name / "card.json") for name in plan["datasets"]
        },
        training={
            name: read_jsonl(root / "datasets" / name / "train.jsonl") for name in plan["datasets"]
        },
        candidates={
            (teacher, prompts): read_jsonl(
                root / "generations" / teacher / prompts / "candidates.jsonl"
            )
            for teacher, prompts in pools
        },
        scores={pool: _load_scores(root, plan, pool) for pool in pools},
        prompts={
            (path.parent.name, path.stem): {row["id"]: row["text"] for row in read_jsonl(path)}
            for path in sorted((root / "prompts").glob("*/*.jsonl"))
        },
    )


def pools_of(plan: Record) -> list[Pool]:
    """Every teacher and prompt set that candidates were sampled for."""
    sets = plan["datasets"].values()
    return sorted({(teacher, data["prompts"]) for data in sets for teacher in data["teachers"]})


def _load_scores(root: Path, plan: Record, pool: Pool) -> dict[str, dict[ScoreKey, float | None]]:
    teacher, prompts = pool
    objectives = plan["objectives"].values()
    needed = {m for o in objectives if o["prompts"] == prompts for m in metrics_of(o)}
    scores = {}
    for metric in sorted({metric for objective in objectives for metric in metrics_of(objective)}):
        path = root / "scores" / teacher / prompts / f"{metric}.jsonl"
        if metric in needed or path.exists():
            scores[metric] = {
                (row["prompt_id"], row["sample"]): row["score"] for row in read_jsonl(path)
            }
    return scores


def metrics_of(objective: Record) -> list[str]:
    """The metrics that an objective of the plan chooses by, the first in front, then its bounds."""
    return list(dict.fromkeys([*objective["metrics"], *objective["where"]]))


def chosen_scores(study: Study, dataset: str, metric: str) -> dict[str, float | None]:
    """Prompt id to the score of the completion that the data set chose; {} if never scored."""
    prompts = study.plan["datasets"][dataset]["prompts"]
    chosen: dict[str, float | None] = {}
    for row in study.training[dataset]:
        scores = study.scores[row["teacher"], prompts].get(metric)
        if scores is None:
            continue
        key = (row["prompt_id"], row["sample"])
        if key not in scores:
            raise HeirloomError(
                f"scores/{row['teacher']}/{prompts}/{metric}.jsonl has no score for prompt "
                f"{key[0]!r}, sample {key[1]}, which datasets/{dataset}/train.jsonl chose. The two "
                "come from different candidates: delete the scores and run again."
            )
        chosen[row["prompt_id"]] = scores[key]
    return chosen


def source(dataset: Record) -> str:
    """One of "single" and "multi", by the number of teachers; "" where a set is passive."""
    if dataset["selection"] == "passive":
        return ""
    return "single" if len(dataset["teachers"]) == 1 else "multi"


def students(plan: Record) -> list[str]:
    """The ids of the students, in the plan's order."""
    return [name for name, model in plan["models"].items() if model["role"] == "student"]


def without_seed(student: str, plan: Record) -> str:
    """The id `base.dataset` that a student shares with those that differ from it in the seed."""
    model = plan["models"][student]
    return f"{model['base']}.{model['dataset']}"


def students_by_seed(plan: Record) -> dict[str, list[str]]:
    """Students without their seed, `base.dataset`, to their models, one a seed, in plan order."""
    found: dict[str, list[str]] = {}
    for student in students(plan):
        found.setdefault(without_seed(student, plan), []).append(student)
    return found
