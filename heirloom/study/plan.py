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
from heirloom.study.config import Study, study_type
from heirloom.study.training_sets import Dataset as Dataset  # both are of the plan
from heirloom.study.training_sets import TrainingSets
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json

#: Of plan.json. Plans of another version are refused: names in them may mean something else.
VERSION = 3
#: The training method that students' ids do not mention.
UNNAMED_METHOD = "lora"
Source = Literal["own", "other", "pool", ""]


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
                {metric: load(functions[metric]) for metric in self.study.scored_with(name)},
                options,
            )
            for name, options in self.study.benchmarks.items()
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

    def source(self, student: str) -> Source:
        """Whose candidates a student's training set was chosen from.

        Args:
            student: Its id, with or without the seed.

        Returns:
            "own": its base's; "other": another teacher's; "pool": several teachers'; "" where the
            set is passive.
        """
        model = self.models[self.students_by_seed.get(student, [student])[0]]
        data = self.datasets[model.trained_on]
        if data.selection == "passive":
            return ""
        if len(data.teachers) > 1:
            return "pool"
        return "own" if data.teachers == (model.base,) else "other"

    @cached_property
    def redraws(self) -> dict[str, str]:
        """Students of a first draw to those of its second, both without their seed."""
        alike = {(m.base, m.dataset, m.method, m.seed): name for name, m in self.students.items()}
        found = {}
        for name, model in self.students.items():
            first = self.datasets[model.trained_on].first_draw
            if first:
                other = alike[model.base, first, model.method, model.seed]
                found[self.without_seed(other)] = self.without_seed(name)
        return found

    @cached_property
    def pools(self) -> list[tuple[str, str]]:
        """Every teacher and prompt set that candidates are sampled for, sorted."""
        sets = self.datasets.values()
        return sorted({(teacher, data.prompts) for data in sets for teacher in data.teachers})

    @cached_property
    def config(self) -> Record:
        """The merged study file as JSON, without what changes no result.

        Where and in which forms results are published, what they are compared with (studies,
        published numbers and expected effects) and how large a job has to be do not.
        """
        return self.study.model_dump(
            mode="json",
            exclude={
                "publish": True,
                "export": True,
                "compare_with": True,
                "references": True,
                "models": {"__all__": {"parameters"}},
                "objectives": {"__all__": {"expects"}},
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
    """Derive training sets and students, by the rules of `TrainingSets`.

    Raises:
        HeirloomError: Two training sets would have one name, or `publish` or `export` names what
            there is not.
    """
    sets = TrainingSets(study)
    plan = Plan(study, sets.found, _models(study, sets))
    if study.publish:
        _check_names("publish.datasets", study.publish.datasets, plan.datasets)
        _check_names("publish.students", study.publish.students, plan.students)
    if study.export:
        _check_names("export.students", study.export.students, plan.students)
    return plan


def _models(study: Study, sets: TrainingSets) -> dict[str, Model]:
    """Every model of a study: bases, teachers, others and students."""
    models = {base: Model(base, "base") for base in study.bases}
    for teacher in study.teachers:
        models.setdefault(teacher, Model(teacher, "teacher"))
    for name in study.models:
        models.setdefault(name, Model(name, "other"))
    for base in study.bases:
        for dataset in sets.found.values():
            if base not in sets.learners[dataset.id]:
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


def thinned(plan: Plan) -> list[str]:
    """Return the prompt sets of a study that leave out near-duplicates."""
    sets = plan.study.prompts.items()
    return [name for name, prompts in sets if prompts.near_duplicates is not None]


def profiled_on(plan: Plan) -> str:
    """Return a model of which every benchmark that can run has records, to know its items."""
    behind = {name for name, model in plan.study.models.items() if model.endpoint}
    own = [name for name, model in plan.models.items() if model.artefact not in behind]
    return next(iter([*own, *plan.models]))
