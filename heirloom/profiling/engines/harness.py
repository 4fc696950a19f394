"""lm-evaluation-harness's tasks on local examples, scored by heirloom's engine."""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from heirloom.generate.model import LanguageModel
from heirloom.profiling.engines import likelihood
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

_GIVEN, _SHOWN = "given", "fewshot"
#: The harness's own default, so that the prompts are those of a run without options.
FEWSHOT_SEED = 1234


@dataclass(frozen=True)
class FewShot:
    """Examples that a prompt begins with.

    Attributes:
        number: Number of examples per prompt.
        documents: Rows that they are drawn from; None where the task's configuration has them.
        evaluated: True if those are the rows that are evaluated: the harness then leaves out the
            one that is asked about.
    """

    number: int
    documents: Sequence[Record] | None = None
    evaluated: bool = False


@dataclass(frozen=True)
class Selected:
    """A task of the harness, and the documents of it to evaluate.

    Attributes:
        task: The harness's own object, see `local_task`.
        numbers: Numbers of the documents, in ascending order; None for all.
    """

    task: Any
    numbers: Sequence[int] | None = None


def local_task(config: str, documents: Sequence[Record], few_shot: FewShot | None = None) -> Any:
    """Return the harness's own task over these documents alone, in memory: no hub, no cache.

    Args:
        config: Its configuration, a file below `lm_eval/tasks`.
        documents: Rows with the fields that the configuration reads.
        few_shot: Examples in the prompts; None for none.

    Raises:
        HeirloomError: The task cannot be made of these rows: a field is missing, or there are fewer
            rows to draw few-shot examples from than asked for.
    """
    import lm_eval.tasks
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    rows = {_GIVEN: list(documents)}
    if few_shot and few_shot.documents is not None and not few_shot.evaluated:
        rows[_SHOWN] = list(few_shot.documents)

    class LocalTask(ConfigurableTask):  # type: ignore[misc]
        def download(self, *args: Any, **kwargs: Any) -> None:
            self.dataset = {split: Dataset.from_list(found) for split, found in rows.items()}

        def process_results(self, doc: Any, results: Any) -> Any:
            # An answer without a log-likelihood would be compared as one: nothing is reported.
            unscored = any(total != total for total, _ in results)
            return {} if unscored else super().process_results(doc, results)

    settings = load_yaml(Path(lm_eval.tasks.__file__).parent / config)
    for key in ("tag", "group", "task_list"):  # of the harness's index, not of a task
        settings.pop(key, None)
    try:
        with _silenced():
            task = LocalTask(config={**settings, **_splits(settings, few_shot)})
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
    except Exception as error:  # of a template or function of the task
        raise HeirloomError(
            f"lm-eval cannot make the task {settings.get('task')!r} of these rows "
            f"({type(error).__name__}: {error}). Its data set has other fields: the task was "
            f"written for {settings.get('dataset_path')!r}; use rows of that."
        ) from error
    _require_enough(task, few_shot, excluding=_excludes(settings))
    return task


def _splits(settings: Record, few_shot: FewShot | None) -> Record:
    """Settings that put the rows in the place of whatever splits the harness would use.

    Few-shot examples are drawn as with the task's own splits: the harness draws one more, to leave
    out the question, if it takes both from one split, which includes that it names neither.
    """
    own: Record = dict.fromkeys(("training_split", "validation_split", "test_split"))
    named = _fewshot_split(settings)
    excludes = _excludes(settings) or bool(few_shot and few_shot.evaluated)
    own["validation_split" if excludes else "test_split"] = _GIVEN
    shown = None
    if few_shot and few_shot.documents is not None and not few_shot.evaluated:
        if named is None or excludes:
            own["training_split"] = _SHOWN
        else:
            shown = _SHOWN
    configured = settings.get("fewshot_config") or {}
    return {
        **own,
        "fewshot_split": shown,
        "fewshot_config": {key: configured[key] for key in configured if key != "split"},
        "num_fewshot": few_shot.number if few_shot else 0,
    }


def _fewshot_split(settings: Record) -> str | None:
    """The split that a configuration names for few-shot examples."""
    configured = settings.get("fewshot_config") or {}
    split: str | None = configured.get("split", settings.get("fewshot_split"))
    return split


def _excludes(settings: Record) -> bool:
    """True if the harness leaves the question out of the few-shot examples that it draws."""
    return _fewshot_split(settings) == settings.get("test_split")


def _require_enough(task: Any, few_shot: FewShot | None, *, excluding: bool) -> None:
    if not few_shot:
        return
    there = len(task.sampler.df)
    needed = few_shot.number + (excluding or few_shot.evaluated)
    if there < needed:
        raise HeirloomError(
            f"the task {task.config.task!r} asks for {few_shot.number} few-shot examples, for "
            f"which {needed} rows are needed, but there are {there}. Lower `num_fewshot`, or name "
            "a larger data set under `fewshot_data`."
        )


def evaluate(model: LanguageModel, tasks: Mapping[str, Selected], *, work: Path) -> Record:
    """Let the harness evaluate tasks on local documents.

    Args:
        model: The model.
        tasks: Task to what of it is evaluated.
        work: Folder in which an interrupted run resumes.

    Returns:
        The harness's own results. `samples` maps each task to its log, one sample per document in
        order. A document with an answer that could not be scored has no metrics and its
        log-likelihood is not a number there; the numbers in `results` leave it out.
    """
    from lm_eval.evaluator import evaluate

    greedy = any(_asks_for_greedy(selected.task) for selected in tasks.values())
    chosen = {name: list(t.numbers) for name, t in tasks.items() if t.numbers is not None}
    with _silenced():
        results: Record = evaluate(
            _harness_model(model, work, greedy=greedy),
            {"tasks": {name: selected.task for name, selected in tasks.items()}},
            samples=chosen or None,
            bootstrap_iters=0,
        )
    # One sample per document and filter of the answers: the first filter is the task's main one.
    results["samples"] = {
        name: [sample for sample in found if sample["filter"] == found[0]["filter"]]
        for name, found in results["samples"].items()
    }
    return results


@contextlib.contextmanager
def _silenced() -> Any:
    """Keep the harness's remarks out of the log.

    Its warnings say which aggregations a configuration leaves out and where few-shot examples come
    from, both of which is decided here. Its progress bars count prompts that are written in no
    time. Logging keeps its own stderr.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _asks_for_greedy(task: Any) -> bool:
    """True if a metric of a task may depend on whether an answer is the greedy one."""
    plain = task.OUTPUT_TYPE == "multiple_choice" and task.config.process_results is None
    return not plain or "exact_match" in task.aggregation()


def _harness_model(model: LanguageModel, work: Path, *, greedy: bool) -> Any:
    """The model as the harness asks for log-likelihoods, which heirloom's engine computes."""
    from lm_eval.api.model import LM

    class Engine(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            # The requests of a document follow each other and share most of their text.
            grouped = groupby(requests, key=lambda request: (request.task_name, request.doc_id))
            groups = [
                [likelihood.encode_option(model, *request.args) for request in document]
                for _, document in grouped
            ]
            scored = likelihood.score(model, groups, work=work, greedy=greedy)
            found = [one for group in scored for one in group]
            # The harness takes no None.
            return [
                (float("nan") if one.total is None else one.total, bool(one.greedy))
                for one in found
            ]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            raise NotImplementedError("no task of this benchmark scores whole texts")

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            raise NotImplementedError("no task of this benchmark generates")

    return Engine()
