"""The work of a study as its plan says it: jobs, and tokens to write, to train on and to read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heirloom.study.plan import Plan
from heirloom.support.files import Record

PROMPT = 64  # tokens of a prompt, its template included

#: Benchmark to its examples where the study takes all (for each data set or task that it names) and
#: to the tokens that are read for one.
READ = {
    "stereoset": (2_106, 60),
    "crows_pairs": (1_508, 50),
    "seat": (200, 10),
    "bbq": (5_300, 100),
    "calibration": (5_300, 150),
    "general": (2_700, 150),
    "judge": (300, 600),
}
#: Parameters of a scorer that is a model itself.
SCORERS = {"detoxify": 125_000_000}


@dataclass(frozen=True)
class Work:
    """What the jobs of one stage do with one model.

    Attributes:
        name: The model's, or the student's, or the metric's: with `stage`, a row of costs.csv.
        model: Whose size counts: of a student its base.
        jobs: How many jobs.
        written: Tokens generated.
        trained: Tokens trained on, every epoch counted.
        read: Tokens of prompts and benchmarks.
    """

    stage: str
    name: str
    model: str
    jobs: int
    written: float = 0
    trained: float = 0
    read: float = 0


def work_of(plan: Plan) -> list[Work]:
    """The work of a study with this plan (plan.json), a row for each stage and model.

    Every teacher's candidates are one job a prompt set: into how many shards a machine cuts it is
    not in the plan.
    """
    config = plan.config
    prompts, k = config["prompts"], plan.k
    found = []
    for teacher, name in plan.pools:
        n, most = prompts[name]["train"], prompts[name]["max_new_tokens"]
        found.append(Work("generate", teacher, teacher, 1, n * k * most, read=n * PROMPT))
    judge = config["benchmarks"].get("judge")
    if judge and judge["pool"]:
        named = judge["pool"]
        pool = config["pools"].get(named, [named])
        n = (2 if len(pool) == 1 else 1) * _examples(judge, prompts[judge["prompts"]]["eval"])
        written = n * judge["max_new_tokens"]
        found += [Work("judge", t, t, 1, written, read=n * PROMPT) for t in pool]
    for metric, settings in config["metrics"].items():
        if settings["function"] in SCORERS:
            tokens = sum(work.written for work in found if work.stage == "generate")
            jobs = len(plan.pools)
            found.append(Work("score", metric, settings["function"], jobs, read=tokens))
    for student in plan.students:
        model = plan.models[student]
        tokens = _training_tokens(plan, model.dataset)
        found.append(Work("finetune", student, model.base, 1, trained=tokens))
    written, read = _profile_tokens(config)
    for name, model in plan.models.items():
        found.append(Work("profile", name, model.base or name, 1, written, read=read))
    pools, datasets = len(plan.pools), len(plan.datasets)
    others = len(config["models"]) + 2 * len(prompts) + pools * (1 + len(config["metrics"]))
    # Beside fetching, splitting, gathering, scoring and choosing: data, pairs, and the report's 7.
    found.append(Work("other", "", "", others + datasets + bool(config["data"]) + bool(judge) + 7))
    return _merged(found)


def _merged(rows: Sequence[Work]) -> list[Work]:
    """Rows of the same stage and name as one."""
    merged: dict[tuple[str, str], Work] = {}
    for row in rows:
        key = (row.stage, row.name)
        merged[key] = added(merged[key], row) if key in merged else row
    return list(merged.values())


def added(first: Work, second: Work) -> Work:
    return replace(
        first,
        jobs=first.jobs + second.jobs,
        written=first.written + second.written,
        trained=first.trained + second.trained,
        read=first.read + second.read,
    )


def _examples(options: Record, all_of_them: int) -> int:
    return min(options.get("examples") or all_of_them, all_of_them)


def _training_tokens(plan: Plan, dataset: str) -> float:
    config, data = plan.config, plan.datasets[dataset]
    prompts, recipe = config["prompts"][data.prompts], config["finetuning"]
    # A control of a set that leaves out prompts has the same ones.
    chosen = plan.datasets[data.get("prompts_of") or dataset].objective
    keep = plan.objectives.get(chosen, {}).get("keep") or {}
    examples = prompts["train"] * (keep.get("fraction") or 1)
    length = min(recipe["max_length"], PROMPT + prompts["max_new_tokens"])
    return float(recipe["epochs"] * examples * length)


def _profile_tokens(config: Record) -> tuple[float, float]:
    """Tokens that the benchmarks have one model write and read."""
    written = read = 0.0
    for name, options in config["benchmarks"].items():
        if options is None:
            continue
        if name in READ:
            everything, tokens = READ[name]
            data = options.get("data") or options.get("tasks") or ["one"]
            sets = len(data) if isinstance(data, list | dict) else 1
            if name == "calibration":
                sets = sum(bool(options.get(key)) for key in ("hellaswag", "openbookqa"))
            if name == "judge":
                sets = len(options["data"]) + bool(options["pool"])
            if name == "seat":  # reads every set, whatever a study says
                read += sets * everything * tokens
            else:
                read += sets * _examples(options, everything) * tokens
        else:
            n = config["prompts"][options["prompts"]]["eval"]
            samples = options.get("continuations", 1)
            written += n * samples * options["max_new_tokens"]
            read += n * PROMPT
    return written, read
