"""The study in three parts: what was done, what was found, what cannot be said.

Every sentence is generated from the plan and the tables.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import steers
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.report.findings import (
    bases,
    count,
    effect,
    headline,
    limits,
    listed,
    passive_findings,
    pool_sizes,
    selections,
    significant,
    steered,
    teachers,
)
from heirloom.report.labels import benchmark_label, full_label, student_label
from heirloom.study.plan import Plan

#: Limits of the study that an abstract names; the report lists all.
_TOLD = ("Coarse toxicity scorer.", "One training seed.", "Few training seeds.", "Models.")


def abstract(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, list[str]]]:
    """Heading and paragraphs of each part."""
    paragraphs = [("What was done", [_done(plan, tables)])]
    if plan.students:
        paragraphs.append(("What was found", _found(plan, tables["changes"])))
    paragraphs.append(("What it cannot say", _unsaid(plan, tables)))
    return paragraphs


def _done(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> str:
    sentences = []
    pools, sets, trained = tables["candidates"], plan.datasets, plan.students
    if len(pools):
        per_set, k = pool_sizes(pools)
        prompts = [f"{count(n, 'prompt')} of the set {name}" for name, n in per_set.items()]
        objectives = plan.objectives.values()
        scores = unique(name for o in objectives for name in (*o["metrics"], *o["where"]))
        scored = f", scored by {listed(scores)}" if scores else ""
        sentences.append(
            f"{listed(teachers(plan))} answered {listed(prompts)}, {k} times each: "
            f"{int(pools['n'].sum()):,} candidates{scored}."
        )
    if sets:
        kinds = [f"{n} {_KINDS[kind]}" for kind, n in selections(plan).items()]
        sentences.append(f"From them came {count(len(sets), 'training set')}: {listed(kinds)}.")
    if trained:
        seeds = sorted({plan.models[name]["seed"] for name in trained})
        sentences.append(
            f"{listed(bases(plan))} learned each of them with LoRA, "
            f"{'one seed' if len(seeds) == 1 else f'{len(seeds)} seeds'} each."
        )
    profiled = listed([benchmark_label(name) for name in plan.benchmarks])
    beside = f"{count(len(trained), 'student')}, beside bases and teachers, " if trained else ""
    n = len(plan.models) - len(trained)
    sentences.append(
        f"{beside or count(n, 'model') + ' '}{'were' if beside or n > 1 else 'was'} profiled with "
        f"{profiled}."
    )
    return " ".join(sentences)


_KINDS = {
    "passive": "passive (a teacher's first answer)",
    "random": "random (the controls)",
    "best": "selected for an objective",
}


def _found(plan: Plan, changes: pd.DataFrame) -> list[str]:
    sentences = [headline(plan, changes), *_steered(plan, changes)]
    sentences += _side_effects(plan, changes)
    if "passive" in selections(plan):
        sentences.append(f"Passive inheritance: {passive_findings(plan, changes)[0]}")
    return sentences


def _steered(plan: Plan, changes: pd.DataFrame) -> list[str]:
    """One sentence an objective: every student's change against its random control."""
    rows = [row for row in rows_of(steered(plan, changes)) if row.control]
    sentences = []
    for name in unique(row.objective for row in rows):
        own = [row for row in rows if row.objective == name]
        metric = full_label(own[0].benchmark, own[0].metric)
        parts = [
            f"{effect(row, 'control')} in {student_label(row.student, plan)}{_doubt(row)}"
            for row in own
        ]
        sentences.append(f"{metric}, {plan['objectives'][name]['direction']}d: {'; '.join(parts)}.")
    return sentences


def _doubt(row: Any) -> str:
    """What keeps a change against the control from being shown."""
    if significant(row, "control"):
        return ""
    found = effect(row, "control")
    if pd.isna(found.low):
        return ", of too few examples for an interval"
    return ", not significant after correction" if found.verdict else ", which includes zero"


def _side_effects(plan: Plan, changes: pd.DataFrame) -> list[str]:
    """What else moved in students that were steered, on the main metrics."""
    main = main_metrics(plan, changes)
    tested = [
        row
        for row in rows_of(changes)
        if row.control
        and not steers(plan, row.student, row.benchmark, row.metric)
        and (row.benchmark, row.metric) in main
        and pd.notna(effect(row, "control").low)
    ]
    if not tested:
        return []
    shown = sum(significant(row, "control") != 0 for row in tested)
    alone = sum(effect(row, "control").verdict != 0 for row in tested)
    return [
        f"Side effects: of {count(len(tested), 'comparison')} with the control on other main "
        f"metrics, {shown} {'is' if shown == 1 else 'are'} significant after Holm's correction; "
        f"{alone} by {'itself excludes' if alone == 1 else 'themselves exclude'} zero, and about "
        f"{0.05 * len(tested):.1f} would by chance."
    ]


def _unsaid(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    sentences = []
    rows = [row for row in rows_of(steered(plan, tables["changes"])) if row.control]
    undecided = [student_label(row.student, plan) for row in rows if _doubt(row)]
    if undecided:
        sentences.append(
            f"No effect is shown for {listed(undecided)}; nor is it shown that there is none."
        )
    known = dict(limits(plan, tables))
    return sentences + [known[heading] for heading in _TOLD if heading in known]


def spent(costs: pd.DataFrame) -> str:
    """What the study cost in all, by stage.

    Args:
        costs: the table `costs`.
    """
    stages = []
    for stage, rows in costs.groupby("stage", sort=False):
        tokens = rows["tokens"].sum()
        made = f" ({tokens:,.0f} tokens)" if tokens else ""
        stages.append(f"{stage} {_minutes(rows['seconds'].sum())}{made}")
    if not stages:
        return ""
    peak = costs["peak_memory"].max()
    memory = "" if pd.isna(peak) else f"; the largest job took {peak / 1024:.1f} GB of memory"
    return f"{listed(stages)}: {_minutes(costs['seconds'].sum())} of jobs{memory}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def agreement(plan: Plan, studies: pd.DataFrame) -> list[str]:
    """In how many comparisons with the control this study and another found the same.

    Args:
        plan: this study's plan.
        studies: the table `studies`.
    """
    main = main_metrics(plan, studies)
    found = {
        (row.study, row.student, row.benchmark, row.metric): effect(row, "control")
        for row in rows_of(studies)
        if (row.benchmark, row.metric) in main
    }
    found = {key: value for key, value in found.items() if pd.notna(value.low)}
    own = plan.name
    sentences = []
    for other in unique(studies["study"]):
        if other == own:
            continue
        pairs = [
            (value.verdict, found[other, *key[1:]].verdict)
            for key, value in found.items()
            if key[0] == own and (other, *key[1:]) in found
        ]
        both = sum(a == b != 0 for a, b in pairs)
        opposite = sum(a * b < 0 for a, b in pairs)
        one = sum((a == 0) != (b == 0) for a, b in pairs)
        sentences.append(
            f"{own} and {other} share {count(len(pairs), 'comparison')} of main metrics with the "
            f"random control: the interval excludes zero in both, with the same sign, in {both}; "
            f"with opposite signs in {opposite}; in one of the two only in {one}; in neither in "
            f"{len(pairs) - both - opposite - one}."
        )
    return sentences
