"""Work of a study as its plan says it: jobs, and tokens to generate, to train on and to read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heirloom.objectives import SCORERS
from heirloom.profiling.cost import PROMPT_TOKENS
from heirloom.profiling.workload import profile_tokens
from heirloom.study.contests import answered, compared_pairs
from heirloom.study.plan import Plan, thinned


@dataclass(frozen=True)
class Work:
    """Work of the jobs of one stage with one model.

    Attributes:
        name: The model's, or the student's, or the metric's: with `stage`, a row of costs.csv.
        model: The model whose size counts: of a student its base.
        jobs: Number of jobs.
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
    """Return the work of a study, one row per stage and model.

    Every teacher's candidates for a prompt set are one job: the number of shards is the machine's
    business and not in the plan.
    """
    generated = _generation(plan)
    rows = [*generated, *_judged(plan), *_scoring(plan, generated), *_finetuning(plan)]
    rows += [*_profiling(plan), *_scored_answers(plan), *_comparing(plan)]
    rows.append(Work("other", "", "", _other_jobs(plan)))
    return _merged(rows)


def _generation(plan: Plan) -> list[Work]:
    rows = []
    for teacher, name in plan.pools:
        prompts = plan.study.prompts[name]
        written = prompts.train * plan.k * prompts.max_new_tokens
        read = prompts.train * PROMPT_TOKENS
        rows.append(Work("generate", teacher, teacher, 1, written, read=read))
    return rows


def _judged(plan: Plan) -> list[Work]:
    """Completions of the study's own teachers that judges are shown."""
    judge = plan.study.judge
    if judge is None or judge.prompts is None:
        return []
    prompts = plan.study.prompts[judge.prompts].eval
    pool = plan.study.judged_teachers
    n = (2 if len(pool) == 1 else 1) * min(judge.examples or prompts, prompts)
    written = n * judge.max_new_tokens
    return [Work("judge", t, t, 1, written, read=n * PROMPT_TOKENS) for t in pool]


def _scoring(plan: Plan, generated: Sequence[Work]) -> list[Work]:
    """Scores by models: other scorers cost next to nothing."""
    rows = []
    for metric, settings in plan.study.metrics.items():
        if scorer_parameters(settings.function):
            tokens = sum(work.written for work in generated)
            rows.append(Work("score", metric, settings.function, len(plan.pools), read=tokens))
    return rows


def scorer_parameters(function: str) -> float:
    """Parameters of the model behind a scorer; 0 where there is none, or none that is known."""
    return float(SCORERS.get(function).parameters) if function in SCORERS else 0.0


def _finetuning(plan: Plan) -> list[Work]:
    return [
        Work(
            "finetune",
            student,
            model.artefact,
            1,
            trained=_training_tokens(plan, model.trained_on),
        )
        for student, model in plan.students.items()
    ]


def _training_tokens(plan: Plan, dataset: str) -> float:
    data, settings = plan.datasets[dataset], plan.study.finetune
    prompts = plan.study.prompts[data.prompts]
    # A control of a set that leaves out prompts has the same ones, and so has its second draw.
    origin = data
    while origin.prompts_of:
        origin = plan.datasets[origin.prompts_of]
    chosen = origin.objective
    keep = plan.objectives[chosen].keep if chosen else None
    examples = prompts.train * ((keep and keep.fraction) or 1)
    length = min(settings.max_length, PROMPT_TOKENS + prompts.max_new_tokens)
    return float(settings.epochs * examples * length)


def _profiling(plan: Plan) -> list[Work]:
    sizes = {name: prompts.eval for name, prompts in plan.study.prompts.items()}
    tokens = profile_tokens(plan.study.benchmarks, sizes)
    return [
        Work("profile", name, model.artefact, 1, tokens.written, read=tokens.read)
        for name, model in plan.models.items()
    ]


def _comparing(plan: Plan) -> list[Work]:
    """Verdicts on answers of students: each pair is read in both orders."""
    if not plan.study.judges:
        return []
    tokens = 2 * compared_pairs(plan) * (PROMPT_TOKENS + 2 * answered(plan).max_new_tokens)
    return [Work("compare", judge, judge, 1, read=tokens) for judge in plan.study.judges]


def _scored_answers(plan: Plan) -> list[Work]:
    """Scores by models of what benchmarks generate: part of the profiles' jobs."""
    study = plan.study
    sizes = {name: prompts.eval for name, prompts in study.prompts.items()}
    rows = []
    for name, options in study.benchmarks.items():
        written = len(plan.models) * profile_tokens({name: options}, sizes).written
        for metric in study.scored_with(name):
            function = study.metrics[metric].function
            if scorer_parameters(function):
                rows.append(Work("profile", f"by {metric}", function, 0, read=written))
    return rows


def _other_jobs(plan: Plan) -> int:
    """Jobs without a model: fetching, splitting, gathering, scoring, selecting, 7 at the end."""
    study = plan.study
    pools = len(plan.pools) * (1 + len(study.metrics))
    data, pairs = bool(study.data), "judge" in study.benchmarks
    looked_for, listed = bool(plan.datasets), len(thinned(plan))
    sets = 2 * len(study.prompts) + listed + len(plan.datasets)
    return len(study.models) + sets + pools + data + pairs + looked_for + 7


def _merged(rows: Sequence[Work]) -> list[Work]:
    """Return rows of the same stage and name as one."""
    merged: dict[tuple[str, str], Work] = {}
    for row in rows:
        key = (row.stage, row.name)
        merged[key] = added(merged[key], row) if key in merged else row
    return list(merged.values())


def added(first: Work, second: Work) -> Work:
    """Return the work of two rows as one."""
    return replace(
        first,
        jobs=first.jobs + second.jobs,
        written=first.written + second.written,
        trained=first.trained + second.trained,
        read=first.read + second.read,
    )
