"""Results of a study: the data of tables, figures, report and cards.

Each kind of file is read on first use, so that a job reads only what it needs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from heirloom.profiling.compare_answers import Contest
from heirloom.profiling.profile import Profile
from heirloom.study.contests import contests
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, read_jsonl

ScoreKey = tuple[str, int]
"""Prompt id and sample of a candidate."""
Scores = Mapping[ScoreKey, float | None]
Pool = tuple[str, str]
"""Teacher and prompt set."""


Value = TypeVar("Value")


class _Lazy(Mapping[str, Value]):
    """A mapping whose values are read once, when they are first asked for."""

    def __init__(self, names: Iterable[str], read: Callable[[str], Value]) -> None:
        self._names = dict.fromkeys(names)
        self._read = read
        self._found: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Results:
    """The files of one study, as far as its plan names them.

    Every attribute but the first two is read from disk when it is first used, and raises a
    HeirloomError if a file that the plan implies is missing or malformed.

    Attributes:
        plan: The plan.
        paths: Paths of the files.
    """

    plan: Plan
    paths: Paths

    @cached_property
    def profiles(self) -> Mapping[str, Mapping[str, Profile]]:
        """Model to benchmark to profile."""
        return {
            model: {
                name: Profile.read(self.paths.profile(model, name)) for name in self.plan.benchmarks
            }
            for model in self.plan.models
        }

    @cached_property
    def records(self) -> Mapping[str, Mapping[str, list[Record]]]:
        """Model to benchmark to the records of that profile, one per example.

        Each file is read when it is first asked for: the report shows a few models of hundreds.
        """

        def of_model(model: str) -> Mapping[str, list[Record]]:
            def of_benchmark(name: str) -> list[Record]:
                return read_jsonl(self.paths.records(model, name))

            return _Lazy(self.plan.benchmarks, of_benchmark)

        return _Lazy(self.plan.models, of_model)

    @cached_property
    def compared_answers(self) -> Mapping[str, Mapping[Contest, list[Record]]]:
        """Judge to models whose answers it compared, to its verdicts, one per prompt."""

        def of_judge(judge: str) -> Mapping[Contest, list[Record]]:
            found: dict[Contest, list[Record]] = {pair: [] for pair in contests(self.plan)}
            for row in read_jsonl(self.paths.compared_answers(judge)):
                found.setdefault(Contest(row["model"], row["other"]), []).append(row)
            return found

        return _Lazy(self.plan.study.judges, of_judge)

    @cached_property
    def cards(self) -> Mapping[str, Record]:
        """Training set to the facts in its card."""
        return {
            name: read_json(self.paths.dataset(name, "card.json")) for name in self.plan.datasets
        }

    @cached_property
    def training(self) -> Mapping[str, list[Record]]:
        """Training set to training examples."""
        return {
            name: read_jsonl(self.paths.dataset(name, "train.jsonl")) for name in self.plan.datasets
        }

    @cached_property
    def candidates(self) -> Mapping[Pool, list[Record]]:
        """(teacher, prompts) to candidates."""
        return {pool: read_jsonl(self.paths.candidates(*pool)) for pool in self.plan.pools}

    @cached_property
    def scores(self) -> Mapping[Pool, Mapping[str, Scores]]:
        """(teacher, prompts) to metric to the score of each candidate, None if it has none.

        Only metrics that an objective of the plan names, and only where they were scored.
        """
        return {pool: self._scores_of(*pool) for pool in self.plan.pools}

    @cached_property
    def prompts(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """(prompts, split) to prompt id to text, of the prompt files that there are."""
        return {
            (name, split): {row["id"]: row["text"] for row in read_jsonl(file)}
            for name in self.plan.study.prompts
            for split in ("train", "eval")
            if (file := Path(self.paths.prompts(name, split))).exists()
        }

    def _scores_of(self, teacher: str, prompts: str) -> dict[str, Scores]:
        objectives = self.plan.objectives.values()
        needed = {m for o in objectives if o.prompts == prompts for m in o.scored_by}
        scores: dict[str, Scores] = {}
        for metric in sorted({m for objective in objectives for m in objective.scored_by}):
            path = Path(self.paths.scores(teacher, prompts, metric))
            if metric in needed or path.exists():
                scores[metric] = {
                    (row["prompt_id"], row["sample"]): row["score"] for row in read_jsonl(path)
                }
        return scores


def load_results(root: str | Path) -> Results:
    """Return the results of the study whose folder is `root`.

    Raises:
        HeirloomError: The plan is missing or malformed.
    """
    paths = Paths(str(root))
    return Results(Plan.read(paths.plan()), paths)


def chosen_scores(results: Results, dataset: str, metric: str) -> dict[str, float | None]:
    """Prompt id to the score of the completion that a training set chose; {} if never scored.

    Raises:
        HeirloomError: The scores belong to other candidates.
    """
    prompts = results.plan.datasets[dataset].prompts
    chosen: dict[str, float | None] = {}
    for row in results.training[dataset]:
        scores = results.scores[row["teacher"], prompts].get(metric)
        if scores is None:
            continue
        key = (row["prompt_id"], row["sample"])
        if key not in scores:
            raise HeirloomError(
                f"{results.paths.scores(row['teacher'], prompts, metric)} has no score for prompt "
                f"{key[0]!r}, sample {key[1]}, which "
                f"{results.paths.dataset(dataset, 'train.jsonl')} chose. The two come from "
                "different candidates: delete the scores and run again."
            )
        chosen[row["prompt_id"]] = scores[key]
    return chosen
