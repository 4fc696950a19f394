"""Completions that stand in the report's page.

Nothing is picked by hand: prompts are evenly spaced in their files.
"""

from collections.abc import Mapping, Sequence

from heirloom.analyse.frames import unique
from heirloom.analyse.offence import may_offend
from heirloom.analyse.results import Results
from heirloom.profiling.labels import label, main_of
from heirloom.report.composition import prompt_sets, trained_sets
from heirloom.report.pools import absent, collect_pool, spread
from heirloom.report.user_text import truncated
from heirloom.report.wording import count, number
from heirloom.study.plan import Plan
from heirloom.support.files import Record

_SHOWN_PROMPTS = 3
_SHOWN_POOLS = 2
_LONGEST = 700


def collect_samples(results: Results, pools: Sequence[Record] | None = None) -> Record:
    """Return completions that stand in the page.

    Args:
        results: The results of a study.
        pools: Return values of `collect_pool`, one per prompt set; collected if not given.

    Returns:
        {"evaluation": groups by benchmark, "training": groups by prompt set}; a group has a
        "name", whether it is "sensitive" (needs a content warning) and its "prompts".
    """
    if pools is None:
        pools = [collect_pool(results, prompts) for prompts in prompt_sets(results.plan)]
    several = len(results.plan.models) > 1  # there is something to compare
    return {
        "evaluation": [
            group
            for benchmark in results.plan.benchmarks
            if _has_completions(results, benchmark)
            and ((group := _evaluation_samples(results, benchmark))["prompts"] or several)
        ],
        "training": [_training_samples(results.plan, pool) for pool in pools],
    }


def _has_completions(results: Results, benchmark: str) -> bool:
    """Return True if models generate for a benchmark, so that there is something to read."""
    measured = (results.records[model][benchmark] for model in results.plan.models)
    record = next((records[0] for records in measured if records), {})
    return bool({"completion", "continuations"} & record.keys())


def _evaluation_samples(results: Results, benchmark: str) -> Record:
    plan = results.plan
    shown = shown_models(plan, benchmark)
    records = {
        model: {record["id"]: record for record in results.records[model][benchmark]}
        for model in shown
    }
    texts = {key: text for split in results.prompts.values() for key, text in split.items()}
    ids = list(next(iter(records.values()), {}))
    metrics = noted(plan, benchmark)
    return {
        "name": benchmark,
        "sensitive": may_offend(plan, benchmark=benchmark),
        "prompts": [
            {
                "id": key,
                "text": texts.get(key, key),
                "answers": [
                    {"model": model, "role": role} | answer_of(records[model][key], metrics)
                    for model, role in shown.items()
                    if key in records[model]
                ],
            }
            for key in spread(ids, _SHOWN_PROMPTS)
        ],
    }


def shown_models(plan: Plan, benchmark: str) -> dict[str, str]:
    """Model to role: the first base, and students steered towards this benchmark with controls.

    Per objective that this benchmark measures, the student of a pool if there is one.
    """
    steered: dict[str, str] = {}
    for name, objective in plan.objectives.items():
        if objective.measured_by.split(".", 1)[0] != benchmark:
            continue
        own = {s: data for s, data in trained_sets(plan).items() if data.objective == name}
        if own:
            best = min(own, key=lambda student: plan.source(student) != "pool")
            steered[best] = f"best for {name}"
    if not steered:
        return {}
    base = plan.models[next(iter(steered))].artefact
    controls = [plan.models[student].control for student in steered]
    return {base: "base"} | {c: "random control" for c in controls if c} | steered


def noted(plan: Plan, benchmark: str) -> dict[str, str]:
    """Label to record field of the metrics that stand below an answer: main and steered ones."""
    measures = plan.measures[benchmark]
    steered = [o.measured_by.removeprefix(f"{benchmark}.") for o in plan.objectives.values()]
    names = unique([*main_of(benchmark, measures), *(name for name in steered if name in measures)])
    return {label(benchmark, name): measures[name].uses(name)[0][0] for name in names}


def answer_of(record: Record, metrics: Mapping[str, str]) -> Record:
    """Return a completion, the worst of several continuations or the first answer; and its note."""
    if "continuations" in record:
        worst = max(
            record["continuations"], key=lambda c: -1.0 if c["score"] is None else c["score"]
        )
        note = (
            f"highest of {count(len(record['continuations']), 'continuation')}: "
            f"{number(worst['score'])}"
        )
        shown = truncated(worst["text"] or "", _LONGEST)
        return {"completion": shown, "note": note, "absent": absent("")}
    answers = record.get("answers", [record])
    first = answers[0]
    notes = [f"first of {len(answers)} answers"] if len(answers) > 1 else []
    notes += [
        f"{name} {number(first[field])}"
        for name, field in metrics.items()
        if isinstance(first.get(field), int | float)
    ]
    return {
        "completion": truncated(first.get("completion") or "", _LONGEST),
        "note": " \u00b7 ".join(notes),
        "absent": absent(first.get("finish_reason", "")),
    }


def _training_samples(plan: Plan, pool: Record) -> Record:
    """Return the first pools of a prompt set, for readers without scripts."""
    return {
        "name": pool["name"],
        "sensitive": may_offend(plan, prompts=pool["name"]),
        "metrics": pool["metrics"],
        "prompts": [
            {
                "id": prompt["id"],
                "text": prompt["text"],
                "candidates": [
                    {
                        "teacher": pool["teachers"][candidate["teacher"]],
                        "sample": candidate["sample"],
                        "completion": truncated(candidate["text"], _LONGEST),
                        "truncated": candidate["finish"] == "length",
                        "absent": absent(candidate["finish"]),
                        "scores": [number(score) for score in candidate["scores"]],
                        "chosen": [
                            pool["sets"][chosen["set"]]["name"]
                            for chosen in prompt["chosen"]
                            if chosen["candidate"] == position
                        ],
                    }
                    for position, candidate in enumerate(prompt["candidates"])
                ],
            }
            for prompt in spread(pool["prompts"], _SHOWN_PROMPTS)[:_SHOWN_POOLS]
        ],
    }
