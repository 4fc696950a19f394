"""Answers of every model to the same prompts, for a reader who compares two of them."""

from collections.abc import Mapping

from heirloom.analyse.results import Results
from heirloom.report.names import student_label
from heirloom.report.pools import spread
from heirloom.report.samples import answer_of, noted, shown_models
from heirloom.report.user_text import visible
from heirloom.study.plan import Plan
from heirloom.support.files import Record, read_jsonl

#: Bytes of JSON that the answers to the prompts of all benchmarks may take together.
MOST_BYTES = 800_000
#: Answers of one benchmark that are read at most, before their size is known.
_MOST_ANSWERS = 4000


def collect_answers(results: Results, benchmark: str) -> Record:
    """Return the answers of all models to evenly spaced prompts of a benchmark.

    The files of each model are read and let go, so that a study of hundreds fits in memory.

    Returns:
        {"name", "models": names, "left", "right": positions of the two models shown first,
        "prompts": [{"id", "text", "answers": one per model, {"completion", "note", "absent"} or
        null}]}.
    """
    plan = results.plan
    texts = {key: text for split in results.prompts.values() for key, text in split.items()}
    metrics = noted(plan, benchmark)
    models = list(plan.models)
    prompts: dict[str, Record] = {}
    for position, model in enumerate(models):
        records = read_jsonl(results.paths.records(model, benchmark))
        if not prompts:
            ids = [record["id"] for record in records]
            prompts = {
                key: {"id": visible(key), "text": visible(texts.get(key, key))}
                | {"answers": [None] * len(models)}
                for key in spread(ids, max(1, _MOST_ANSWERS // len(models)))
            }
        for record in records:
            if record["id"] in prompts:
                prompts[record["id"]]["answers"][position] = answer_of(record, metrics)
    left, right = _first(shown_models(plan, benchmark), models)
    return {
        "name": benchmark,
        "models": [_label(plan, model) for model in models],
        "left": left,
        "right": right,
        "prompts": list(prompts.values()),
    }


def _first(shown: Mapping[str, str], models: list[str]) -> tuple[int, int]:
    """Return the positions of a base and the first student steered towards this benchmark."""
    if not shown:
        return 0, len(models) - 1
    steered = next(name for name, role in shown.items() if role.startswith("best"))
    return models.index(next(iter(shown))), models.index(steered)


def _label(plan: Plan, model: str) -> str:
    """Return a model's name, with its role if it is no student."""
    role = plan.models[model].role
    return student_label(model, plan) if role == "student" else f"{model} ({role})"
