"""What a study consists of: its training sets and models, derived from the study file.

Names are made here and never taken apart again: rules look a training set or a model up by its id.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from heirloom.select.settings import Objective
from heirloom.select.strategies import control_of
from heirloom.study.config import Study
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


@dataclass(frozen=True)
class Dataset:
    """A training set.

    Attributes:
        selection: Name of the selection strategy.
        pool: Name of the pool; a single teacher's name for single-source.
        teachers: The models whose candidates the pool holds.
        prompts: The prompt set.
        objective: For `best`, what the candidate is the best for.
        control: For `best`, the training set that differs only in how candidates were chosen.
        prompts_of: For the control of a set that may leave out prompts: that set, whose prompts it
            has.
        k: How many candidates of a prompt and teacher there are to choose from, the first; None:
            all.
    """

    id: str
    selection: str
    pool: str
    teachers: tuple[str, ...]
    prompts: str
    objective: str | None = None
    control: str | None = None
    prompts_of: str | None = None
    k: int | None = None


@dataclass(frozen=True)
class Model:
    """A model to profile: base, teacher, student (base, training set and seed) or another."""

    id: str
    role: Literal["base", "teacher", "student", "other"]
    base: str | None = None
    dataset: str | None = None
    seed: int | None = None
    control: str | None = None


@dataclass(frozen=True)
class Plan:
    """Every training set and every model of a study, by id."""

    datasets: dict[str, Dataset]
    models: dict[str, Model]

    @property
    def students(self) -> dict[str, Model]:
        """The models that are finetuned."""
        return {name: model for name, model in self.models.items() if model.role == "student"}


def make_plan(study: Study) -> Plan:
    """Derive training sets and students.

    - passive, for every teacher;
    - best, for every objective: single-source from each base that is a teacher, and multi-source
      from each pool, but for those that it leaves out; and, for an ablation, from fewer candidates
      of its pool;
    - random, the control, for every pool and prompt set that an objective uses. A random draw from
      a pool of one teacher is that teacher's passive set, so it is not made twice; nor does it
      matter among how many candidates of each teacher one is drawn, so that sets of fewer
      candidates share it. An objective that may leave out prompts has controls of its own on the
      prompts that were kept: of fewer prompts, a student learns less, whatever the completions are.

    Every base learns every set, but for single-source sets, which only the teacher itself learns.
    """
    training_prompts = study.training_prompts or ""  # there, if there are teachers: it was checked
    datasets: dict[str, Dataset] = {}
    only_for: dict[str, str] = {}  # training set -> the one base that learns it

    def add(dataset: Dataset) -> str:
        # A control is added once for every objective that it serves.
        if datasets.setdefault(dataset.id, dataset) != dataset:
            raise HeirloomError(
                f"two training sets would be called {dataset.id}: rename one of the objectives, "
                "pools or prompt sets that its name is made of."
            )
        return dataset.id

    def suffix(prompts: str, pool: str) -> str:
        return pool if prompts == training_prompts else f"{prompts}-{pool}"

    passive = {
        add(Dataset(f"passive-{teacher}", "passive", teacher, (teacher,), training_prompts))
        for teacher in study.teachers
    }

    def add_best(name: str, pool: str, teachers: list[str], k: int | None = None) -> list[str]:
        """A best set and its control, by name."""
        objective = study.objectives[name]
        prompts = objective.prompts or training_prompts
        single = pool in study.teachers
        tail = f"-k{k}" if k else ""
        best = f"{name}-{pool}{tail}"
        source = (pool, tuple(teachers), prompts)
        if objective.own_prompts:
            # The very prompts that are kept, at random among all candidates of each.
            kind = control_of(objective.strategy, one_teacher=False)
            control = Dataset(f"{kind}-{pool}-{name}{tail}", kind, *source, prompts_of=best)
        else:
            kind = control_of(objective.strategy, one_teacher=single)
            control = Dataset(f"{kind}-{suffix(prompts, pool)}", kind, *source)
        steered = Dataset(best, objective.strategy, *source, name, control.id, k=k)
        return [add(control), add(steered)]

    own = {base: [base] for base in study.bases if base in study.teachers}
    for name, objective in study.objectives.items():
        for pool, teachers in {**own, **study.pools}.items():
            if objective.pools is None or pool in objective.pools:
                new = add_best(name, pool, teachers)
                if pool in own:
                    only_for |= dict.fromkeys(set(new) - passive, pool)
    if study.ablation:
        for k in study.ablation.candidates:
            for name in study.ablation.objectives:
                add_best(name, study.ablation.pool, study.pools[study.ablation.pool], k)

    models = {base: Model(base, "base") for base in study.bases}
    for teacher in study.teachers:
        models.setdefault(teacher, Model(teacher, "teacher"))
    for name in study.models:
        models.setdefault(name, Model(name, "other"))
    for base in study.bases:
        for dataset in datasets.values():
            if only_for.get(dataset.id, base) != base:
                continue
            for seed in study.finetuning.seeds:
                student = f"{base}.{dataset.id}.s{seed}"
                rival = f"{base}.{dataset.control}.s{seed}" if dataset.control else None
                models[student] = Model(student, "student", base, dataset.id, seed, rival)
    plan = Plan(datasets, models)
    if study.publish:
        _check_names("publish.datasets", study.publish.datasets, plan.datasets)
        _check_names("publish.students", study.publish.students, plan.students)
    return plan


def _check_names(key: str, names: Iterable[str] | None, known: Iterable[str]) -> None:
    """Names that are made here, and that the study file may name."""
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise HeirloomError(
            f"{key}: this study has no {', '.join(unknown)}. Known: {', '.join(known) or 'none'}."
        )


def plan_record(study: Study, plan: Plan) -> Record:
    """The plan as the report reads it, with the merged study file."""
    return {
        "study": study.study,
        "title": study.title,
        "seed": study.seed,
        "k": study.generation.k,
        "objectives": {
            name: _objective_record(objective, study.training_prompts)
            for name, objective in study.objectives.items()
        },
        "datasets": {name: asdict(dataset) for name, dataset in plan.datasets.items()},
        "models": {name: asdict(model) for name, model in plan.models.items()},
        "benchmarks": [name for name, options in study.benchmarks if options is not None],
        # Where results are published, what they are compared with, and how large a job has to be,
        # changes none of them.
        "config": study.model_dump(
            mode="json",
            exclude={
                "publish": True,
                "compare_with": True,
                "models": {"__all__": {"parameters"}},
            },
        ),
    }


def _objective_record(objective: Objective, training_prompts: str | None) -> Record:
    """An objective with everything spelled out.

    `metric` and `direction` are those of its first metric, which `measured_by` measures.
    """
    metric, criterion = next(iter(objective.criteria.items()))
    return {
        "summary": str(objective),
        "metric": metric,
        "direction": criterion.direction,
        "metrics": {name: found.model_dump() for name, found in objective.criteria.items()},
        "where": {name: bounds.model_dump() for name, bounds in objective.where.items()},
        "keep": objective.keep.model_dump() if objective.keep else None,
        "prompts": objective.prompts or training_prompts,
        "measured_by": objective.measured_by,
    }
