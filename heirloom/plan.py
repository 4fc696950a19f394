"""What a study consists of: its training sets and models, derived from the study file.

Names are made here and never taken apart again: rules look a training set or a model up by its id.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from heirloom.config import Study
from heirloom.errors import HeirloomError
from heirloom.files import Record


@dataclass(frozen=True)
class Dataset:
    """A training set.

    Attributes:
        selection: `passive` (sample 0 of one teacher), `random` (one candidate of the pool at
            random) or `best` (the pool's best candidate for the objective).
        pool: Name of the pool; a single teacher's name for single-source.
        teachers: The models whose candidates the pool holds.
        prompts: The prompt set.
        objective: For `best`, what the candidate is the best for.
        control: For `best`, the training set that differs only in how candidates were chosen.
    """

    id: str
    selection: Literal["passive", "random", "best"]
    pool: str
    teachers: tuple[str, ...]
    prompts: str
    objective: str | None = None
    control: str | None = None


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
      from each pool;
    - random, the control, for every pool and prompt set that an objective uses. A random draw from
      a pool of one teacher is that teacher's passive set, so it is not made twice.

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

    for teacher in study.teachers:
        add(Dataset(f"passive-{teacher}", "passive", teacher, (teacher,), training_prompts))
    for name, objective in study.objectives.items():
        prompts = objective.prompts or training_prompts
        for base in study.bases:
            if base not in study.teachers:
                continue
            control = f"passive-{suffix(prompts, base)}"
            if control not in datasets:
                add(Dataset(control, "passive", base, (base,), prompts))
                only_for[control] = base
            best = Dataset(f"{name}-{base}", "best", base, (base,), prompts, name, control)
            only_for[add(best)] = base
        for pool, teachers in study.pools.items():
            control = f"random-{suffix(prompts, pool)}"
            add(Dataset(control, "random", pool, tuple(teachers), prompts))
            add(Dataset(f"{name}-{pool}", "best", pool, tuple(teachers), prompts, name, control))

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
    return Plan(datasets, models)


def plan_record(study: Study, plan: Plan) -> Record:
    """The plan as the report reads it, with the merged study file."""
    return {
        "study": study.study,
        "title": study.title,
        "seed": study.seed,
        "objectives": {
            name: {**o.model_dump(), "prompts": o.prompts or study.training_prompts}
            for name, o in study.objectives.items()
        },
        "datasets": {name: asdict(dataset) for name, dataset in plan.datasets.items()},
        "models": {name: asdict(model) for name, model in plan.models.items()},
        "benchmarks": [name for name, options in study.benchmarks if options is not None],
        "config": study.model_dump(mode="json"),
    }
