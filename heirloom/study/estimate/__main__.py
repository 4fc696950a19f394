"""Print the estimated cost and the power of a study."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from heirloom.profiling.workload import without_cost
from heirloom.study.estimate import RATES, Line, Measured, estimate, measure
from heirloom.study.estimate.power import Power, power_of
from heirloom.study.file import read_study_file
from heirloom.study.job_size import sizes_of
from heirloom.study.parse import parse_study
from heirloom.study.plan import Plan, make_plan
from heirloom.support.errors import HeirloomError


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the estimate of the study file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m heirloom.study.estimate", description=__doc__)
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--results", type=Path, default=Path("results"), help="of earlier studies")
    parser.add_argument(
        "--device",
        choices=sorted(RATES),
        help="for such a machine by its stated rates, whatever was measured on this one",
    )
    options = parser.parse_args(arguments)
    try:
        study = parse_study(read_study_file(options.study), root=Path.cwd())
        plan = make_plan(study)
    except HeirloomError as error:
        sys.exit(str(error))
    sizes = sizes_of(study)
    device = options.device or "cpu"
    measured = None if options.device else measure(options.results, sizes)
    write, read, train = RATES[device]
    if measured and measured.time:
        basis = (
            f"* as measured in {', '.join(measured.studies)}; the others by the formula, corrected "
            "by the median of their stage."
        )
    else:
        basis = (
            f"By formula: {write:.1e}, {read:.1e} and {train:.1e} operations per second to "
            "generate, read and train on tokens; completions as long as they may be."
        )
    lines = estimate(plan, sizes, device=device, measured=measured)
    print("\n".join([f"{study.study}: {study.title}", "", *render(lines, device), "", basis]))
    print("\n".join([*remarks(lines, device), *unmeasured(plan, measured)]))
    print("\n".join(powers(power_of(plan, options.results))))


def render(lines: Sequence[Line], device: str) -> list[str]:
    """The estimate as the lines of a table, with a last one for all."""
    hours = "core hours" if device == "cpu" else "GPU hours"
    rows: list[tuple[str, ...]] = [
        ("stage", "model", "size", "jobs", "written", "trained", "read", hours, "GB")
    ]
    for line in lines:
        took = "?" if line.hours is None else _hours(line.hours)
        disk = "?" if line.gigabytes is None else _hours(line.gigabytes)
        counts = (line.work.written, line.work.trained, line.work.read)
        size = "?" if line.size is None else _short(line.size)
        head = (line.work.stage, line.work.model, size, f"{line.work.jobs:,}")
        rows.append((*head, *map(_short, counts), took + " *"[line.measured], disk))
    works = [line.work for line in lines]
    rows.append(
        (
            *("all", "", "", f"{sum(work.jobs for work in works):,}"),
            _short(sum(work.written for work in works)),
            _short(sum(work.trained for work in works)),
            _short(sum(work.read for work in works)),
            _hours(sum(line.hours or 0 for line in lines)) + " ",
            _hours(sum(line.gigabytes or 0 for line in lines)),
        )
    )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def remarks(lines: Sequence[Line], device: str) -> list[str]:
    """Lines to read with the table."""
    sizes = {line.work.model: line.size or 0 for line in lines if line.work.stage == "profile"}
    gigabytes = sum(2 * size / 1e9 for size in sizes.values())
    found = [
        f"Models in the cache, in bfloat16: {gigabytes:.1f} GB, in addition to their downloads."
    ]
    if device == "cpu":
        cores = os.cpu_count() or 1
        hours = sum(line.hours or 0 for line in lines)
        found.append(f"All {cores} cores of this machine: {_duration(hours / cores)} or more.")
    found += _prices(lines)
    unknown = sorted({line.work.model for line in lines if line.hours is None})
    if unknown:
        found.append(
            f"Of unknown size, and not in the sums: {', '.join(unknown)}. Fetch them, or give "
            "their `parameters` in the study file."
        )
    return found


def _prices(lines: Sequence[Line]) -> list[str]:
    """Lines about money, one per model behind an endpoint."""
    models = dict.fromkeys(line.work.model for line in lines if line.money is not None)
    return [
        f"Price of {model}: about "
        + " + ".join(
            f"{line.money:,.2f} ({line.work.stage})"
            for line in lines
            if line.work.model == model and line.money is not None
        )
        + ", in the currency of its endpoint's price."
        for model in models
    ]


def unmeasured(plan: Plan, measured: Measured | None) -> list[str]:
    """Lines about what the estimate leaves out: benchmarks without a cost, unreadable studies."""
    free = without_cost(plan.benchmarks)
    found = [f"Benchmarks that state no cost count nothing: {', '.join(free)}."] if free else []
    skipped = measured.skipped if measured else []
    return found + [f"Not taken into account: {reason}" for reason in skipped]


def powers(found: Sequence[Power]) -> list[str]:
    """Lines about the smallest changes that the study can show, one per objective."""
    if not found:
        return []
    return [
        "",
        "Smallest change against the random control that the study detects with a probability of "
        f"80 % (p < 0.05, Holm's correction for {found[0].tests} steered students):",
        *(f"  {power}" for power in found),
    ]


def _duration(hours: float) -> str:
    return f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:,.0f} hours"


def _hours(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _short(value: float) -> str:
    """A count in three digits, 135 M or 6.7 G; empty where there is none."""
    for end, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= end:
            return f"{value / end:.3g} {letter}"
    return f"{value:.3g}" if value else ""


if __name__ == "__main__":
    main()
