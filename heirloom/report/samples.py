"""What models wrote: a few texts that stand in the page, and the pools that it can search.

Nothing is picked by hand: prompts are evenly spaced in their files.
"""

import json
from collections.abc import Sequence
from typing import Any

from heirloom.analyse.results import Results
from heirloom.profiling.labels import main_of
from heirloom.report.findings import count, teachers
from heirloom.report.labels import label, number
from heirloom.study.plan import Plan
from heirloom.support.files import Record

#: Bytes of JSON that the pools of all prompt sets may take together.
MOST_BYTES = 2_000_000

_SHOWN_PROMPTS = 3
_SHOWN_POOLS = 2
_LONGEST_SHOWN = 700
_LONGEST = 4000


def collect_samples(study: Results) -> Record:
    """Completions that stand in the page.

    Returns:
        {"evaluation": groups by benchmark, "training": groups by prompt set}; a group has a
        "name", whether it is "sensitive" (needs a content warning) and its "prompts".
    """
    return {
        "evaluation": [
            group
            for benchmark in study.plan.benchmarks
            if _has_texts(study, benchmark)
            and (group := _evaluation_samples(study, benchmark))["prompts"]
        ],
        "training": [_training_samples(study, prompts) for prompts in prompt_sets(study.plan)],
    }


def prompt_sets(plan: Plan) -> list[str]:
    """The prompt sets that training sets are made from, in the plan's order."""
    return list(dict.fromkeys(data.prompts for data in plan.datasets.values()))


def _has_texts(study: Results, benchmark: str) -> bool:
    """Whether a benchmark lets models write, so that there is something to read."""
    return any(
        {"completion", "continuations"} & record.keys()
        for model in study.plan.models
        for record in study.records[model][benchmark][:1]
    )


def _evaluation_samples(study: Results, benchmark: str) -> Record:
    plan = study.plan
    shown = _shown_models(plan, benchmark)
    records = {
        model: {record["id"]: record for record in study.records[model][benchmark]}
        for model in shown
    }
    texts = {key: text for split in study.prompts.values() for key, text in split.items()}
    ids = list(next(iter(records.values()), {}))
    return {
        "name": benchmark,
        "sensitive": benchmark == "toxicity",
        "prompts": [
            {
                "id": key,
                "text": texts.get(key, key),
                "answers": [
                    {"model": model, "role": role} | _answer(records[model][key], benchmark)
                    for model, role in shown.items()
                    if key in records[model]
                ],
            }
            for key in spread(ids, _SHOWN_PROMPTS)
        ],
    }


def _shown_models(plan: Plan, benchmark: str) -> dict[str, str]:
    """Model to role: the first base, and the best students it has here with their controls.

    Per objective that this benchmark measures, the multi-source student if there is one.
    """
    steered: dict[str, str] = {}
    for name, objective in plan.objectives.items():
        if objective.measured_by.split(".", 1)[0] != benchmark:
            continue
        own = [
            student
            for student in plan.students
            if plan.datasets[plan.models[student].dataset].objective == name
        ]
        own.sort(key=lambda s: len(plan.datasets[plan.models[s].dataset].teachers) < 2)
        if own:
            steered[own[0]] = f"best for {name}"
    if not steered:
        return {}
    base = plan.models[next(iter(steered))].base
    controls = [plan.models[student].control for student in steered]
    return {base: "base"} | {c: "random control" for c in controls if c} | steered


def _answer(record: Record, benchmark: str) -> Record:
    if "continuations" in record:
        worst = max(
            record["continuations"], key=lambda c: -1.0 if c["score"] is None else c["score"]
        )
        note = (
            f"highest of {count(len(record['continuations']), 'continuation')}: "
            f"{number(worst['score'])}"
        )
        return {"completion": _cut(worst["text"], _LONGEST_SHOWN), "note": note}
    values = [
        f"{label(metric)} {number(record[metric])}"
        for metric in main_of(benchmark, record)
        if isinstance(record[metric], int | float)
    ]
    return {
        "completion": _cut(record.get("completion", ""), _LONGEST_SHOWN),
        "note": " \u00b7 ".join(values),
    }


def _training_samples(study: Results, prompts: str) -> Record:
    """The first pools of a prompt set, and what the page can search of the others."""
    pool = collect_pool(study, prompts)
    return {
        "name": prompts,
        "sensitive": any(
            "toxicity" in (*objective["metrics"], *objective["where"])
            and objective.prompts == prompts
            for objective in study.plan.objectives.values()
        ),
        "metrics": pool["metrics"],
        "prompts": [
            {
                "id": prompt["id"],
                "text": prompt["text"],
                "candidates": [
                    {
                        "teacher": pool["teachers"][candidate["teacher"]],
                        "sample": candidate["sample"],
                        "completion": _cut(candidate["text"], _LONGEST_SHOWN),
                        "cut": candidate["finish"] == "length",
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


def collect_pool(study: Results, prompts: str) -> Record:
    """Every candidate for a prompt set, its scores, and which training set chose it and why.

    Returns:
        {"name", "metrics", "teachers": names, "sets": [{"name", "text"}], "prompts": [{"id",
        "text", "candidates": [{"teacher": position, "sample", "finish", "text", "scores"}],
        "chosen": [{"set": position, "candidate": position, "why"}]}]}.
    """
    plan = study.plan
    pools = {
        teacher: study.candidates[teacher, prompts]
        for teacher in teachers(plan)
        if (teacher, prompts) in study.candidates
    }
    names = [name for name, data in plan.datasets.items() if data.prompts == prompts]
    metrics = list(
        dict.fromkeys(
            metric for key, scores in study.scores.items() if key[1] == prompts for metric in scores
        )
    )
    texts = study.prompts.get((prompts, "train"), {})
    by_prompt: dict[str, list[Record]] = {}
    position: dict[tuple[str, str, int], int] = {}
    for index, (teacher, pool) in enumerate(pools.items()):
        scores = study.scores[teacher, prompts]
        for row in pool:
            own = by_prompt.setdefault(row["prompt_id"], [])
            position[teacher, row["prompt_id"], row["sample"]] = len(own)
            own.append(
                {
                    "teacher": index,
                    "sample": row["sample"],
                    "finish": row["finish_reason"],
                    "text": _cut(row["completion"], _LONGEST),
                    "scores": [
                        scores.get(metric, {}).get((row["prompt_id"], row["sample"]))
                        for metric in metrics
                    ],
                }
            )
    chosen: dict[str, list[Record]] = {key: [] for key in by_prompt}
    for index, name in enumerate(names):
        for row in study.training[name]:
            where = position[row["teacher"], row["prompt_id"], row["sample"]]
            why = reason(plan, plan.datasets[name], row)
            chosen[row["prompt_id"]].append({"set": index, "candidate": where, "why": why})
    return {
        "name": prompts,
        "metrics": metrics,
        "teachers": list(pools),
        "sets": [{"name": name, "text": _described(plan.datasets[name])} for name in names],
        "prompts": [
            {"id": key, "text": texts.get(key, key), "candidates": own, "chosen": chosen[key]}
            for key, own in by_prompt.items()
        ],
    }


def _described(data: Record) -> str:
    """A training set in a few words: "best for length of alpha and beta"."""
    what = f"best for {data['objective']}" if data.objective else str(data.selection)
    return f"{what}, from {' and '.join(data['teachers'])}"


def reason(plan: Plan, data: Record, row: Record) -> str:
    """Why a training set chose a candidate.

    Args:
        plan: the study's plan.
        data: the training set there.
        row: its row of `train.jsonl`.
    """
    pool = count(row["n_candidates"], "candidate")
    if data.selection == "passive":
        return f"the first of {pool} that is not empty"
    if data.selection == "random":
        return f"drawn at random from {pool}"
    objective = plan.objectives[data.objective]
    if len(objective["metrics"]) > 1:
        what = f"highest mean rank in {' and '.join(objective['metrics'])}"
    else:
        what = f"{'highest' if objective['direction'] == 'maximise' else 'lowest'} "
        what += objective["metric"]
    parts = [f"{what} of {pool}, {number(row['score'])}"]
    if objective["where"]:
        parts.append(f"among those within the bounds on {' and '.join(objective['where'])}")
    if row["n_tied"]:
        parts.append(f"drawn among {row['n_tied'] + 1} with that score")
    if row["n_unscored"]:
        parts.append(f"{row['n_unscored']} without a score")
    return "; ".join(parts)


def embed(pools: Sequence[Record], *, most: int = MOST_BYTES) -> dict[str, Record]:
    """Prompt set to {"json", "shown", "total"}: its pool as text for the page, made to fit.

    Pools larger than `most` bytes together keep evenly spaced prompts, every set the same share.
    """
    packed = {pool["name"]: [_json(prompt) for prompt in pool["prompts"]] for pool in pools}
    total = sum(_size(texts) for texts in packed.values())
    share = min(1.0, most / total) if total else 1.0
    found = {}
    for pool in pools:
        texts = packed[pool["name"]]
        n = int(len(texts) * share)
        while _size(kept := spread(texts, n)) > share * _size(texts):
            n -= 1
        head = _json({key: value for key, value in pool.items() if key != "prompts"})
        found[pool["name"]] = {
            "json": f'{head[:-1]},"prompts":[{",".join(kept)}]}}',
            "shown": len(kept),
            "total": len(texts),
        }
    return found


def _size(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) + 1 for text in texts)


def _json(value: Any) -> str:
    """JSON that no HTML parser takes for markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def spread(entries: Sequence[Any], n: int) -> list[Any]:
    """At most n evenly spaced entries: the first of each n-th part."""
    n = min(n, len(entries))
    return [entries[index * len(entries) // n] for index in range(n)]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} [\u2026]"
