"""Where the time of a finished study goes: stages of its jobs that profile and finetune.

From the times in their logs, and the end of each job, when Snakemake wrote its costs. Run from the
folder that holds `results/`:

    .venv/bin/python -m benchmarks.stages pocket
"""

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import mean

from heirloom.study.paths import Paths

Stages = dict[str, float]

_TIME = "%Y-%m-%d %H:%M:%S,%f"
_BENCHMARK = re.compile(r"heirloom\.profiling\.run: (\w+): ")
_CONVERTED = re.compile(r"converted to OpenVINO")
_COMPLETE = re.compile(r": (\d+) of \1 completions")
_STEPS = re.compile(r": (\d+) of \d+ steps")


def main(study: str) -> None:
    """Print a table of seconds for either kind of job."""
    paths = Paths.of_study(study)
    for stage, stages_of in (("profile", profile), ("finetune", finetune)):
        costs = sorted(Path(paths.root, "costs", stage).glob("*.tsv"))
        logs = [Path(paths.log(stage, path.stem)) for path in costs]
        jobs = [stages_of(*pair) for pair in zip(costs, logs, strict=True)]
        print(f"| {stage}, {len(jobs)} jobs | mean | least | most |\n|---|---|---|---|")
        for name in jobs[0]:
            times = [job.get(name, 0.0) for job in jobs]
            print(f"| {name} | {mean(times):.1f} | {min(times):.1f} | {max(times):.1f} |")
        print()


def profile(costs: Path, log: Path) -> Stages:
    """Seconds of a job that profiles, by stage."""
    start, end = span(costs)
    stages: Stages = {}
    name, since = "start and load", start
    for time, text in lines(log):
        if begun := _BENCHMARK.search(text):
            following = begun[1]
        elif _CONVERTED.search(text):
            name, following = "conversion to OpenVINO", name
        elif _COMPLETE.search(text):
            name, following = f"{name}, generation", f"{name}, scores"
        else:
            continue
        stages[name] = stages.get(name, 0.0) + time - since
        name, since = following, time
    return {**stages, name: end - since, "whole job": end - start}


def finetune(costs: Path, log: Path) -> Stages:
    """Seconds of a job that trains, by stage."""
    start, end = span(costs)
    told = [(time, int(m[1])) for time, text in lines(log) if (m := _STEPS.search(text))]
    (first, before), (last, after) = told[0], told[-1]
    begin = first - before * (last - first) / max(1, after - before)  # before the first line
    return {
        "start and load": begin - start,
        "steps": last - begin,
        "saving": end - last,
        "whole job": end - start,
    }


def span(costs: Path) -> tuple[float, float]:
    """Start and end of a job, in seconds since 1970."""
    end = costs.stat().st_mtime
    return end - float(costs.read_text().splitlines()[1].split("\t")[0]), end


def lines(log: Path) -> Iterator[tuple[float, str]]:
    """Time and text of a log's lines that begin with a time."""
    for line in log.read_text().splitlines():
        if re.match(r"\d{4}-\d\d-\d\d ", line):
            yield datetime.strptime(line[:23], _TIME).timestamp(), line[23:]


if __name__ == "__main__":
    main(sys.argv[1])
