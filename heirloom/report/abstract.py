"""The study in three parts: what was done, what was found, what cannot be said.

Every sentence is generated from the plan and the tables.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import steers
from heirloom.analyse.effects import Reference, effect
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.finetune.methods import METHODS
from heirloom.profiling.labels import benchmark_label, full_label
from heirloom.report.composition import bases, pool_sizes, selections, teachers
from heirloom.report.findings.active import headline
from heirloom.report.findings.benchmarks import passive_findings
from heirloom.report.findings.limits import foremost
from heirloom.report.findings.noise import noise_findings
from heirloom.report.findings.significance import significant, steered_rows
from heirloom.report.findings.truncation import short
from heirloom.report.names import student_label
from heirloom.report.wording import count, effect_text, listed
from heirloom.study.plan import Plan


def abstract(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, list[str]]]:
    """Return the heading and the paragraphs of each part."""
    paragraphs = [("What was done", [_done(plan, tables)])]
    if plan.students:
        found = _found(plan, tables["changes"])
        noise = noise_findings(plan, tables.get("noise_floor"))
        paragraphs.append(("What was found", [*found, *noise[:1]]))
    paragraphs.append(("What it cannot say", _unsaid(plan, tables)))
    return paragraphs


def _done(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> str:
    sentences = []
    if len(tables["candidates"]):
        sentences.append(_sampled(plan, tables["candidates"]))
    if plan.datasets:
        n = len(plan.datasets)
        sentences.append(
            f"{count(n, 'training set')} {'was' if n == 1 else 'were'} made from them: "
            f"{listed(selections(plan))}."
        )
    if plan.students:
        seeds = {model.seed for model in plan.students.values()}
        trained = bases(plan)
        methods = unique(model.trained_by for model in plan.students.values())
        ways = listed([METHODS.get(name).label for name in methods])
        sentences.append(
            f"{listed(trained)} {'was' if len(trained) == 1 else 'were'} finetuned on each of them "
            f"with {ways}, {_times(len(seeds))}."
        )
    return " ".join([*sentences, _profiled(plan)])


def _times(seeds: int) -> str:
    return "once" if seeds == 1 else f"{seeds} times, with different seeds"


def _sampled(plan: Plan, pools: pd.DataFrame) -> str:
    """Return the sentence about candidates and their scores."""
    per_set, k = pool_sizes(pools)
    prompts = [f"{count(n, 'prompt')} of the set {name}" for name, n in per_set.items()]
    scores = unique(name for objective in plan.objectives.values() for name in objective.scored_by)
    scored = f", scored by {listed(scores)}" if scores else ""
    return (
        f"{listed(teachers(plan))} answered {listed(prompts)}, {k} times each: "
        f"{int(pools['n'].sum()):,} candidates{scored}."
    )


def _profiled(plan: Plan) -> str:
    benchmarks = listed([benchmark_label(name) for name in plan.benchmarks])
    n = len(plan.models) - len(plan.students)
    if plan.students:
        who = f"{count(len(plan.students), 'student')}, along with bases and teachers, were"
    else:
        who = f"{count(n, 'model')} {'was' if n == 1 else 'were'}"
    return f"{who} profiled with {benchmarks}."


def _found(plan: Plan, changes: pd.DataFrame) -> list[str]:
    sentences = [headline(plan, changes), *_steered(plan, changes)]
    sentences += _side_effects(plan, changes)
    if any(data.selection == "passive" for data in plan.datasets.values()):
        sentences.append(f"Passive inheritance: {passive_findings(plan, changes)[0]}")
    return sentences


def _steered(plan: Plan, changes: pd.DataFrame) -> list[str]:
    """Return one sentence per objective: every student's change against base and control."""
    rows = [row for row in rows_of(steered_rows(plan, changes)) if row.control]
    sentences = []
    for name in unique(row.objective for row in rows):
        own = [row for row in rows if row.objective == name]
        metric = full_label(own[0].benchmark, own[0].metric)
        parts = [
            f"{student_label(row.student, plan)} {_change(row, 'base')} against the base and "
            f"{_change(row, 'control')} against the random control{short(row)}"
            for row in own
        ]
        direction = plan.objectives[name].direction_of_leading
        sentences.append(f"{metric}, {direction}d: {'; '.join(parts)}.")
    return sentences


def _change(row: Any, against: Reference) -> str:
    doubt = _doubt(row, against)
    return effect_text(effect(row, against)) + (f" ({doubt})" if doubt else "")


def _doubt(row: Any, against: Reference) -> str:
    """Return what keeps a change from being shown; "" if nothing does."""
    if significant(row, against):
        return ""
    found = effect(row, against)
    if pd.isna(found.low):
        return "too few examples for an interval"
    return "not significant after correction" if found.verdict else "includes zero"


def _side_effects(plan: Plan, changes: pd.DataFrame) -> list[str]:
    """Return a sentence on what else moved in students with a control, on the main metrics."""
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
    return [
        f"Side effects: of {count(len(tested), 'comparison')} with the control on other main "
        f"metrics, {shown} {'is' if shown == 1 else 'are'} significant after Holm's correction."
    ]


def _unsaid(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    rows = [row for row in rows_of(steered_rows(plan, tables["changes"])) if row.control]
    references: dict[Reference, str] = {"base": "base", "control": "random control"}
    parts = []
    for against, name in references.items():
        undecided = [student_label(row.student, plan) for row in rows if _doubt(row, against)]
        if undecided:
            parts.append(f"against the {name} for {listed(undecided)}")
    sentences = []
    if parts:
        sentences.append(
            f"No effect is shown {', nor '.join(parts)}; this does not show that there is none."
        )
    return sentences + foremost(plan, tables)


def spent(costs: pd.DataFrame) -> str:
    """Return the cost of the study as a whole, by stage.

    Args:
        costs: The table `costs`.
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
    """Return how often this study and each other found the same against the control.

    Args:
        plan: This study's plan.
        studies: The table `studies`.
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
            f"random control. The interval excludes zero in both studies with the same sign for "
            f"{both}, in both with opposite signs for {opposite}, in only one study for {one}, "
            f"and in neither for {len(pairs) - both - opposite - one}."
        )
    return sentences
