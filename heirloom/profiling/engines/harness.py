"""lm-evaluation-harness's multiple-choice tasks on local examples, scored by heirloom's engine."""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from heirloom.generate.model import LanguageModel
from heirloom.profiling.engines import likelihood
from heirloom.support.files import Record


def evaluate(
    model: LanguageModel,
    documents: Mapping[str, Sequence[Record]],
    configs: Mapping[str, str],
    *,
    work: Path,
) -> dict[str, list[Record]]:
    """Let the harness evaluate its own tasks on given documents.

    Args:
        model: The model.
        documents: Task to its documents, with the fields that the harness's configuration reads.
        configs: Task to its configuration, a file below `lm_eval/tasks`.
        work: Folder in which an interrupted run resumes.

    Returns:
        Task to the harness's log, one sample per document in the order given.
    """
    from lm_eval.evaluator import evaluate

    # Its warnings say which aggregations two configurations leave out; none is used here.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # Its progress bars count prompts that are written in no time. Logging keeps its own stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        results = evaluate(
            _harness_model(model, work),
            {"tasks": {name: _task(configs[name], rows) for name, rows in documents.items()}},
            bootstrap_iters=0,
        )
    samples: dict[str, list[Record]] = results["samples"]
    return samples


def _task(config: str, documents: Sequence[Record]) -> Any:
    """The harness's own task over these documents alone, in memory: no hub, no cache."""
    import lm_eval.tasks
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    class LocalTask(ConfigurableTask):  # type: ignore[misc]
        def download(self, *args: Any, **kwargs: Any) -> None:
            self.dataset = {"given": Dataset.from_list(list(documents))}

    settings = load_yaml(Path(lm_eval.tasks.__file__).parent / config)
    # The documents take the place of whatever split the harness would evaluate.
    splits = {"training_split": None, "validation_split": "given", "test_split": None}
    return LocalTask(config={**settings, **splits})


def _harness_model(model: LanguageModel, work: Path) -> Any:
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
            scored = likelihood.score(model, groups, work=work)
            totals = [found.total for group in scored for found in group]
            # The harness takes no None. No metric asks whether an answer is the greedy one.
            return [(float("nan") if total is None else total, False) for total in totals]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            raise NotImplementedError("no task of this benchmark scores whole texts")

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            raise NotImplementedError("no task of this benchmark generates")

    return Engine()
