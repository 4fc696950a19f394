"""Estimate the cost of a study before anything of it runs: jobs, tokens, hours and disk.

    python -m heirloom.study.estimate config/my-study.yaml     (or: make estimate CONFIG=...)

Tokens follow from the study file: every completion as long as it may be, prompts and the examples
of benchmarks of the usual length (heirloom.study.estimate.work). A job with a model of N parameters
takes

    START + N (2 written / W + 2 read / R + 6 trained / T)    seconds

(2 N operations per token forward, 6 N forward and backward), where W, R and T are the operations
per second that a core or a GPU reaches, stated in `RATES`. Where studies in results/ are finished,
their tables/costs.csv corrects the formula: the seconds and tokens that a stage took with a model,
divided by what the formula gives for that study, multiply what it gives for the new one. A model
that was not measured takes the median of the stage's others.
"""

import csv
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from heirloom.profiling.workload import profile_tokens
from heirloom.study.estimate.work import Work, added, scorer_parameters, work_of
from heirloom.study.job_size import DEFAULT_PARAMETERS, layers
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError

START = 10.0  # seconds until a job has loaded its model
OTHER = 3.0  # seconds of a job without one

#: Operations per second that generating, reading and training reach, on one core of a server of
#: 2023 and on one GPU with 80 GB. Those of the GPU are not measured.
RATES = {"cpu": (1e11, 1e11, 1e11), "gpu": (2.5e13, 1e14, 1e14)}

_BYTES_PER_TOKEN = 4.5
_STAGES = ("generate", "judge", "score", "finetune", "profile", "compare", "other")


@dataclass(frozen=True)
class Line:
    """One line of an estimate: the work of a stage with a model, `size` parameters, and its cost.

    `hours` and `size` are None where the size is not known; `measured` says whether costs of this
    very stage and model were. `money` is None where the model has no price.
    """

    work: Work
    size: float | None
    hours: float | None
    gigabytes: float | None
    measured: bool
    money: float | None = None


def seconds(work: Work, size: float, rates: tuple[float, float, float]) -> float:
    """Return the seconds that the formula gives jobs with a model of `size` parameters."""
    if work.stage == "other":
        return OTHER * work.jobs
    write, read, train = rates
    operations = 2 * work.written / write + 2 * work.read / read + 6 * work.trained / train
    return START * work.jobs + size * operations


@dataclass(frozen=True)
class Measured:
    """Costs of finished studies, as multiples of the formula and of the most tokens.

    Attributes:
        time: (stage, model) to the seconds that its jobs took, divided by the formula's.
        tokens: (stage, model) to tokens written or trained on, divided by the most there may be.
        studies: Names of those studies.
        skipped: Reasons why others were not read, one per study.
    """

    time: Mapping[tuple[str, str], float]
    tokens: Mapping[tuple[str, str], float]
    studies: Sequence[str]
    skipped: Sequence[str] = ()


def measure(results: str | Path, sizes: Mapping[str, float | None]) -> Measured:
    """Read the costs of the finished studies below `results`.

    Args:
        results: Folder of all results.
        sizes: Model to its number of parameters; measurements of other models are ignored.
    """
    sums: dict[tuple[str, str], _Sums] = defaultdict(_Sums)
    studies, skipped = [], []
    for folder in sorted(path for path in Path(results).glob("*") if path.is_dir()):
        paths = Paths(str(folder))
        if not Path(paths.table("costs")).exists():
            continue
        try:
            _add_costs(sums, paths, sizes)
        except HeirloomError as error:
            skipped.append(str(error))
        else:
            studies.append(folder.name)
    return Measured(
        time={key: found.took / found.formula for key, found in sums.items()},
        tokens={key: found.made / found.most for key, found in sums.items() if found.most},
        studies=studies,
        skipped=skipped,
    )


@dataclass
class _Sums:
    """Seconds that a stage took with a model and by the formula, tokens made and the most."""

    took: float = 0.0
    formula: float = 0.0
    made: float = 0.0
    most: float = 0.0


def _add_costs(
    sums: dict[tuple[str, str], _Sums], paths: Paths, sizes: Mapping[str, float | None]
) -> None:
    """Add what one finished study took.

    Raises:
        HeirloomError: Its plan is of another version, or is not there.
    """
    planned = {(work.stage, work.name): work for work in work_of(Plan.read(paths.plan()))}
    with Path(paths.table("costs")).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        work = planned.get((row["stage"], row["model"]))
        size = sizes.get(work.model) if work else None
        complete = row["tokens_per_second"] or row["stage"] not in ("generate", "finetune")
        # Where it is not complete, or jobs reused results, the rest came out of a cache.
        cached = not complete or int(row.get("reused") or 0)
        if work is None or not size or not row["seconds"] or cached:
            continue
        if work.stage != "generate":  # the number of shards is in its seconds
            work = replace(work, jobs=int(row["jobs"]))
        found = sums[work.stage, work.model]
        found.took += float(row["seconds"])
        found.formula += seconds(work, size, RATES["cpu"])
        found.made += float(row["tokens"] or 0)
        found.most += work.written + work.trained if row["tokens"] else 0


def estimate(
    plan: Plan,
    sizes: Mapping[str, float | None],
    *,
    device: str = "cpu",
    measured: Measured | None = None,
) -> list[Line]:
    """Return the cost of the study with this plan, one line per stage and model.

    Args:
        plan: The plan of the study.
        sizes: Model to its number of parameters, None where unknown.
        device: "cpu" or "gpu", whose rates the formula takes.
        measured: Measurements that correct the formula.
    """
    known = measured or Measured({}, {}, [])
    lines = []
    grouped: dict[tuple[str, str], Work] = {}
    for work in work_of(plan):
        key = (work.stage, work.model)
        grouped[key] = added(grouped[key], work) if key in grouped else work
    rank = plan.study.finetune.lora_rank
    for (stage, model), work in sorted(grouped.items(), key=lambda item: _order(item[0])):
        size = (
            0.0
            if stage == "other"
            else sizes.get(model)
            if model in sizes
            else scorer_parameters(model) or None
        )
        share = _nearest(known.tokens, stage, model)
        hours = None
        if size is not None:
            factor = _nearest(known.time, stage, model)
            hours = factor * seconds(work, size, RATES[device]) / 3600
        expected = replace(work, written=work.written * share, trained=work.trained * share)
        size_on_disk = _gigabytes(expected, size, rank)
        money = _money(plan, expected)
        lines.append(Line(expected, size, hours, size_on_disk, (stage, model) in known.time, money))
    return lines


def seconds_per_job(
    plan: Plan, sizes: Mapping[str, float | None], measured: Measured
) -> dict[str, float]:
    """Return the expected seconds of one job of each stage that runs models.

    Args:
        plan: The plan of the study.
        sizes: Model to its number of parameters. A model of unknown size counts as
            `DEFAULT_PARAMETERS`, which leaves the stages' costs in proportion.
        measured: Measurements that correct the formula.
    """
    assumed = {model: size or DEFAULT_PARAMETERS for model, size in sizes.items()}
    hours: dict[str, float] = defaultdict(float)
    jobs: dict[str, int] = defaultdict(int)
    for line in estimate(plan, assumed, measured=measured):
        hours[line.work.stage] += line.hours or 0.0
        jobs[line.work.stage] += line.work.jobs
    return {
        stage: 3600 * hours[stage] / jobs[stage]
        for stage in hours
        if stage != "other" and jobs[stage]
    }


def _money(plan: Plan, work: Work) -> float | None:
    """Price of a model's tokens behind an endpoint; None where they have none."""
    model = plan.study.models.get(work.model)
    if model is None or model.endpoint is None or model.endpoint.price is None:
        return None
    read, written = work.read, work.written
    if work.stage == "generate":
        read *= plan.k  # a request per candidate
    if work.stage == "profile":
        able = {name: o for name, o in plan.study.benchmarks.items() if o.generates}
        sizes = {name: prompts.eval for name, prompts in plan.study.prompts.items()}
        tokens = profile_tokens(able, sizes)
        read, written = tokens.read + tokens.repeated, tokens.written
    return model.endpoint.price.of(read, written)


def _order(key: tuple[str, str]) -> tuple[int, str]:
    return _STAGES.index(key[0]), key[1]


def _nearest(factors: Mapping[tuple[str, str], float], stage: str, model: str) -> float:
    """Factor measured of the model, else the median of the stage's models, else 1."""
    others = [factor for (measured, _), factor in factors.items() if measured == stage]
    return factors.get((stage, model), statistics.median(others) if others else 1.0)


def _gigabytes(work: Work, size: float | None, rank: int) -> float | None:
    """Gigabytes that the jobs leave on disk; None where that depends on an unknown size.

    An adapter of rank r on L layers of width d = 128 L has 18 r L d numbers of 4 bytes.
    """
    if work.stage == "finetune":
        if size is None:
            return None
        return work.jobs * 18 * rank * 128 * layers(size) ** 2 * 4 / 1e9
    # Candidates lie in the cache, in shards and gathered.
    copies = {"generate": 3, "judge": 1, "profile": 2}.get(work.stage, 0)
    return copies * work.written * _BYTES_PER_TOKEN / 1e9
