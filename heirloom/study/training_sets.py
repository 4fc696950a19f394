"""Training sets of a study, derived from the study file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from heirloom.select.settings import Objective
from heirloom.select.strategies import control_of
from heirloom.select.training_set import REDRAW
from heirloom.study.config import Study
from heirloom.support.errors import HeirloomError

#: Strategies of the sets that are drawn a second time: no score decides in them.
_DRAWN_AGAIN = ("passive", "random")


@dataclass(frozen=True)
class Dataset:
    """A training set.

    Attributes:
        selection: Name of the strategy that chose its completions: `passive` (one teacher's first
            that may be chosen), `random` (one candidate of the pool at random), `redraw` (another
            one, at random), `best` (the pool's best candidate for the objective) or another that
            is registered.
        pool: Name of the pool; a single teacher's name for single-source.
        teachers: The models whose candidates the pool holds.
        prompts: The prompt set.
        objective: Objective that candidates are selected for; None for `passive` and `random`.
        control: Where there is an objective, the training set that differs only in how candidates
            were chosen.
        prompts_of: The set whose prompts alone it has: for the control of a set that may leave out
            prompts, that set; for a second draw, the set of the first.
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
    def first_draw(self) -> str | None:
        """For a second draw, the set that it is drawn a second time for; else None."""
        return self.prompts_of if self.selection == REDRAW else None


class TrainingSets:
    """The training sets of a study, and the bases that are trained on each.

    - passive, for every teacher;
    - selected, for every objective: single-source from the teachers that it names, or from each
      base that is a teacher (with `single_source: all`, from each teacher), and multi-source from
      each pool, but for those that it leaves out; and, for an ablation, from fewer candidates of
      its pool;
    - random, the control, for every pool and prompt set that an objective uses. A random draw from
      a pool of one teacher is that teacher's passive set, so it is not made twice; nor does it
      matter among how many candidates of each teacher one is drawn, so that sets of fewer
      candidates share it. An objective that may leave out prompts has controls of its own on the
      prompts that were kept: a student trained on fewer prompts changes less, whatever the
      completions are;
    - drawn again, for `noise_floor`: for every passive and every random set, one more that is
      drawn at random among the candidates that it left.

    Every base is trained on every set, but for single-source sets of a base's candidates: without
    `single_source: all`, only that base is trained on them.

    Attributes:
        found: Training sets by id.
        learners: Training set to the bases that are trained on it.
    """

    def __init__(self, study: Study) -> None:
        self.found: dict[str, Dataset] = {}
        self.learners: dict[str, set[str]] = {}
        self._study = study
        # There, if there are teachers: it was checked.
        self._training_prompts = study.training_prompts or ""
        for t in study.teachers:
            passive = Dataset(f"passive-{t}", "passive", t, (t,), self._training_prompts)
            self._add(passive, study.bases)
        for name, objective in study.objectives.items():
            for source in self._sources(objective):
                self._add_selected(name, *source)
        if study.ablation:
            pool = study.ablation.pool
            for k in study.ablation.candidates:
                for name in study.ablation.objectives:
                    self._add_selected(name, pool, study.pools[pool], study.bases, k)
        if study.noise_floor:
            for first in list(self.found.values()):
                if first.selection in _DRAWN_AGAIN:
                    again = replace(
                        first, id=f"{first.id}-{REDRAW}", selection=REDRAW, prompts_of=first.id
                    )
                    self._add(again, self.learners[first.id])

    def _add(self, dataset: Dataset, learners: Iterable[str]) -> None:
        # A control is added once for every objective that it serves.
        if self.found.setdefault(dataset.id, dataset) != dataset:
            raise HeirloomError(
                f"two training sets would be called {dataset.id}: rename one of the objectives, "
                "pools or prompt sets that its name is made of."
            )
        self.learners.setdefault(dataset.id, set()).update(learners)

    def _sources(self, objective: Objective) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield the pools of an objective: name, teachers, and the bases that are trained."""
        study, named = self._study, objective.pools
        own = [base for base in study.bases if base in study.teachers]
        everyone = study.single_source == "all"
        for teacher in dict.fromkeys([*own, *study.teachers]):
            if teacher in named if named is not None else everyone or teacher in own:
                alone = teacher in own and not everyone
                yield teacher, [teacher], [teacher] if alone else study.bases
        for pool, teachers in study.pools.items():
            if named is None or pool in named:
                yield pool, teachers, study.bases

    def _add_selected(
        self,
        name: str,
        pool: str,
        teachers: list[str],
        learners: list[str],
        k: int | None = None,
    ) -> None:
        """Add the set selected for an objective, and its control."""
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
        self._add(control, learners)
        self._add(Dataset(selected, objective.strategy, *source, name, control.id, k=k), learners)
