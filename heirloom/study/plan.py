"""Plan of a study: its training sets and models, derived from the study file.

Names are made here and never taken apart again: rules look a training set or a model up by its id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from heirloom.objectives import load
from heirloom.profiling import BENCHMARKS, Metric
from heirloom.select.settings import Objective
from heirloom.select.strategies import control_of
from heirloom.study.config import Study, study_type
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json

#: Of plan.json. Plans of another version are refused: names in them may mean something else.
VERSION = 3
#: The training method that students' ids do not mention.
UNNAMED_METHOD = "lora"


@dataclass(frozen=True)
class Dataset:
    """A training set.

    Attributes:
        selection: Name of the strategy that chose its completions: `passive` (sample 0 of one
            teacher), `random` (one candidate of the pool at random), `best` (the pool's best
            candidate for the objective) or another that is registered.
        pool: Name of the pool; a single teacher's name for single-source.
        teachers: The models whose candidates the pool holds.
        prompts: The prompt set.
        objective: Objective that candidates are selected for; None for `passive` and `random`.
        control: Where there is an objective, the training set that differs only in how candidates
            were chosen.
        prompts_of: For the control of a set that may leave out prompts: that set, whose prompts it
            has.
        k: Number of candidates per prompt and teacher to choose from, the first; None: all.
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

    @property
    def source(self) -> str:
        """ "single" or "multi", by the number of teachers; "" where the set is passive."""
        if self.selection == "passive":
            return ""
        return "single" if len(self.teachers) == 1 else "multi"


@dataclass(frozen=True)
class Model:
    """A model to profile.

    Attributes:
        role: `base`, `teacher`, `student` or `other`.
        base: For a student, the model that was finetuned.
        dataset: For a student, its training set.
        seed: For a student, the seed of its training.
        control: For a student, the student that differs only in the training set's control.
        method: For a student, how it was trained.
    """

    id: str
    role: Literal["base", "teacher", "student", "other"]
    base: str | None = None
    dataset: str | None = None
    seed: int | None = None
    control: str | None = None
    method: str | None = None

    @property
    def artefact(self) -> str:
        """The model whose weights are loaded: of a student its base."""
        return self.base or self.id

    @property
    def trained_on(self) -> str:
        """The training set of a student.

        Raises:
            TypeError: The model is no student.
        """
        if self.dataset is None:
            raise TypeError(f"{self.id} is no student")
        return self.dataset

    @property
    def trained_by(self) -> str:
        """The training method of a student.

        Raises:
            TypeError: The model is no student.
        """
        if self.method is None:
            raise TypeError(f"{self.id} is no student")
        return self.method


@dataclass(frozen=True)
class Plan:
    """Every training set and every model of a study, by id, and the study that they follow from."""

    study: Study
    datasets: Mapping[str, Dataset]
    models: Mapping[str, Model]

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.study

    @property
    def title(self) -> str:
        """Title of the study."""
        return self.study.title

    @property
    def seed(self) -> int:
        """Seed of every random choice but those of training."""
        return self.study.seed

    @property
    def k(self) -> int:
        """Candidates per prompt and teacher."""
        return self.study.generate.k

    @cached_property
    def objectives(self) -> dict[str, Objective]:
        """The objectives by name, each with the prompt set that it uses."""
        training_prompts = self.study.training_prompts
        return {
            name: objective.model_copy(update={"prompts": objective.prompts or training_prompts})
            for name, objective in self.study.objectives.items()
        }

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks that profile every model, in their order."""
        return list(self.study.benchmarks)

    @cached_property
    def measures(self) -> dict[str, dict[str, Metric]]:
        """Benchmark to the metrics that it reports in this study, by name."""
        functions = {name: metric.function for name, metric in self.study.metrics.items()}
        return {
            name: BENCHMARKS.get(name).measures(
                {metric: load(functions[metric]) for metric in self.study.scored_with(name)}
            )
            for name in self.benchmarks
        }

    @cached_property
    def students(self) -> dict[str, Model]:
        """The models that are finetuned, in order."""
        return {name: model for name, model in self.models.items() if model.role == "student"}

    @cached_property
    def students_by_seed(self) -> dict[str, list[str]]:
        """Students without their seed to the models that they stand for, one per seed."""
        found: dict[str, list[str]] = {}
        for student in self.students:
            found.setdefault(self.without_seed(student), []).append(student)
        return found

    def without_seed(self, student: str) -> str:
        """The id that a student shares with those that differ from it in the seed."""
        return student.removesuffix(f".s{self.models[student].seed}")

    @cached_property
    def pools(self) -> list[tuple[str, str]]:
        """Every teacher and prompt set that candidates are sampled for, sorted."""
        sets = self.datasets.values()
        return sorted({(teacher, data.prompts) for data in sets for teacher in data.teachers})

    @cached_property
    def config(self) -> Record:
        """The merged study file as JSON, without what changes no result.

        Where results are published, what they are compared with and how large a job has to be do
        not.
        """
        return self.study.model_dump(
            mode="json",
            exclude={
                "publish": True,
                "compare_with": True,
                "models": {"__all__": {"parameters"}},
            },
        )

    def record(self) -> Record:
        """The plan as JSON, as plan.json holds it."""
        return {
            "version": VERSION,
            "datasets": {name: asdict(dataset) for name, dataset in self.datasets.items()},
            "models": {name: asdict(model) for name, model in self.models.items()},
            "config": self.config,
        }

    def write(self, path: str | Path) -> None:
        """Write plan.json."""
        write_json(path, self.record())

    @classmethod
    def read(cls, path: str | Path) -> "Plan":
        """Read a plan that `write` wrote.

        Raises:
            HeirloomError: The file is missing, of another version, or names what is not there, such
                as a benchmark of a plugin that this process has not loaded.
        """
        record = read_json(path)
        if not isinstance(record, dict) or record.get("version") != VERSION:
            found = record.get("version", "unknown") if isinstance(record, dict) else "unknown"
            raise HeirloomError(
                f"{path} was written by another version of heirloom (version {found} of the plan, "
                f"this is {VERSION}). Run the study again: finished stages are taken from the "
                "cache and from its folder where they still fit."
            )
        try:
            return cls(
                study_type().model_validate(record["config"]),
                TypeAdapter(dict[str, Dataset]).validate_python(record["datasets"]),
                TypeAdapter(dict[str, Model]).validate_python(record["models"]),
            )
        except (KeyError, ValidationError) as error:
            raise HeirloomError(
                f"{path} cannot be read as a plan: {error}. If the study uses plugins, they must "
                "be importable here; otherwise run the study again."
            ) from error


def make_plan(study: Study) -> Plan:
    """Derive training sets and students.

    - passive, for every teacher;
    - selected, for every objective: single-source from each base that is a teacher, and
      multi-source from each pool, but for those that it leaves out; and, for an ablation, from
      fewer candidates of its pool;
    - random, the control, for every pool and prompt set that an objective uses. A random draw from
      a pool of one teacher is that teacher's passive set, so it is not made twice; nor does it
      matter among how many candidates of each teacher one is drawn, so that sets of fewer
      candidates share it. An objective that may leave out prompts has controls of its own on the
      prompts that were kept: a student trained on fewer prompts changes less, whatever the
      completions are.

    Every base is trained on every set, but for single-source sets, on which only the teacher itself
    is trained.

    Raises:
        HeirloomError: Two training sets would have one name, or `publish` names what there is not.
    """
    sets = _TrainingSets(study)
    plan = Plan(study, sets.found, _models(study, sets))
    if study.publish:
        _check_names("publish.datasets", study.publish.datasets, plan.datasets)
        _check_names("publish.students", study.publish.students, plan.students)
    return plan


class _TrainingSets:
    """The training sets of a study.

    Attributes:
        found: Training sets by id.
        only_for: Training set to the one base that is trained on it, where there is only one.
    """

    def __init__(self, study: Study) -> None:
        self.found: dict[str, Dataset] = {}
        self.only_for: dict[str, str] = {}
        self._study = study
        # There, if there are teachers: it was checked.
        self._training_prompts = study.training_prompts or ""
        passive = {
            self._add(Dataset(f"passive-{t}", "passive", t, (t,), self._training_prompts))
            for t in study.teachers
        }
        own = {base: [base] for base in study.bases if base in study.teachers}
        for name, objective in study.objectives.items():
            for pool, teachers in {**own, **study.pools}.items():
                if objective.pools is None or pool in objective.pools:
                    new = self._add_selected(name, pool, teachers)
                    if pool in own:
                        self.only_for |= dict.fromkeys(set(new) - passive, pool)
        if study.ablation:
            pool = study.ablation.pool
            for k in study.ablation.candidates:
                for name in study.ablation.objectives:
                    self._add_selected(name, pool, study.pools[pool], k)

    def _add(self, dataset: Dataset) -> str:
        # A control is added once for every objective that it serves.
        if self.found.setdefault(dataset.id, dataset) != dataset:
            raise HeirloomError(
                f"two training sets would be called {dataset.id}: rename one of the objectives, "
                "pools or prompt sets that its name is made of."
            )
        return dataset.id

    def _add_selected(
        self, name: str, pool: str, teachers: list[str], k: int | None = None
    ) -> list[str]:
        """Add the set selected for an objective, and its control; return both names."""
        objective = self._study.objectives[name]
        prompts = objective.prompts or self._training_prompts
        tail = f"-k{k}" if k else ""
        selected = f"{name}-{pool}{tail}"
        source = (pool, tuple(teachers), prompts)
        suffix = pool if prompts == self._training_prompts else f"{prompts}-{pool}"
        if objective.own_prompts:
            # The very prompts that are kept, at random among all candidates of each.
            kind = control_of(objective.strategy, one_teacher=False)
            control = Dataset(f"{kind}-{pool}-{name}{tail}", kind, *source, prompts_of=selected)
        else:
            kind = control_of(objective.strategy, one_teacher=pool in self._study.teachers)
            control = Dataset(f"{kind}-{suffix}", kind, *source)
        dataset = Dataset(selected, objective.strategy, *source, name, control.id, k=k)
        return [self._add(control), self._add(dataset)]


def _models(study: Study, sets: _TrainingSets) -> dict[str, Model]:
    """Every model of a study: bases, teachers, others and students."""
    models = {base: Model(base, "base") for base in study.bases}
    for teacher in study.teachers:
        models.setdefault(teacher, Model(teacher, "teacher"))
    for name in study.models:
        models.setdefault(name, Model(name, "other"))
    for base in study.bases:
        for dataset in sets.found.values():
            if sets.only_for.get(dataset.id, base) != base:
                continue
            for method, seed in product(study.finetune.methods, study.finetune.seeds):
                student = _student_id(base, dataset.id, method, seed)
                control = dataset.control and _student_id(base, dataset.control, method, seed)
                models[student] = Model(student, "student", base, dataset.id, seed, control, method)
    return models


def _student_id(base: str, dataset: str, method: str, seed: int) -> str:
    named = "" if method == UNNAMED_METHOD else f".{method}"
    return f"{base}.{dataset}{named}.s{seed}"


def _check_names(key: str, names: Iterable[str] | None, known: Iterable[str]) -> None:
    """Refuse names in the study file that the plan does not have."""
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise HeirloomError(
            f"{key}: this study has no {', '.join(unknown)}. Known: {', '.join(known) or 'none'}."
        )
