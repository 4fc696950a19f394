"""Log-likelihoods and accuracies beside lm-evaluation-harness's own, on SmolLM2 in float32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import Task
from heirloom.profiling.calibration import CalibrationOptions, profile_calibration
from heirloom.profiling.crows_pairs import CrowsPairsOptions, profile_crows_pairs
from heirloom.profiling.data.crows_pairs import read_pairs
from heirloom.support.files import Record

pytestmark = pytest.mark.slow

ROWS = 200


@pytest.fixture(scope="module")
def model(smollm2: Path) -> LanguageModel:
    return load_model(smollm2, name="smollm2", prompt_template=PromptTemplate(), dtype="float32")


@pytest.fixture(scope="module")
def peer(model: LanguageModel) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=16)


def profile(
    run: Callable[..., list[Record]],
    options: Any,
    model: LanguageModel,
    data: dict[str, Path],
    work: Path,
) -> list[Record]:
    task = Task(
        model=model, prompts=[], format="continuation", scorer=None, data=data, seed=1, work=work
    )
    return run(task, options)


@pytest.fixture(scope="module")
def harness(peer: Any, study_data: Callable[[str], Path]) -> Callable[[str], list[Record]]:
    """The harness's own task on the first rows of a data set: its sample of every document."""

    def evaluated(name: str) -> list[Record]:
        import lm_eval.tasks
        from datasets import Dataset
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.evaluator import evaluate
        from lm_eval.tasks._yaml_loader import load_yaml

        rows = Dataset.from_file(str(study_data(name))).select(range(ROWS))

        class Local(ConfigurableTask):  # type: ignore[misc]
            def download(self, *args: Any, **kwargs: Any) -> None:
                self.dataset = {"validation": rows}

        config = load_yaml(Path(lm_eval.tasks.__file__).parent / f"{name}/{name}.yaml")
        config |= {"training_split": None, "test_split": None}
        found = evaluate(peer, {"tasks": {name: Local(config=config)}}, bootstrap_iters=0)
        samples: list[Record] = sorted(found["samples"][name], key=lambda s: s["doc_id"])
        return samples

    return evaluated


@pytest.mark.parametrize("name", ["hellaswag", "openbookqa"])
def test_answers_score_as_in_the_harness(
    name: str,
    model: LanguageModel,
    harness: Callable[[str], list[Record]],
    study_data: Callable[[str], Path],
    tmp_path: Path,
    first_rows: Callable[[Path, int], Path],
) -> None:
    file = first_rows(study_data(name), ROWS)
    records = profile(
        profile_calibration, CalibrationOptions(**{name: "it"}), model, {"it": file}, tmp_path / "w"
    )
    samples = harness(name)
    assert len(records) == len(samples) == ROWS
    for record, sample in zip(records, samples, strict=True):
        theirs = [total for ((total, _),) in sample["resps"]]
        assert record["log_likelihoods"] == pytest.approx(theirs, abs=1e-3)
        assert (record["acc"], record["acc_norm"]) == (sample["acc"], sample["acc_norm"])


def test_pairs_score_as_in_the_harness(
    model: LanguageModel, peer: Any, study_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """The harness scores a sentence behind the BOS token, as the sum over its tokens."""
    from lm_eval.api.instance import Instance

    file = study_data("crows-pairs")
    options = CrowsPairsOptions(data="it", examples=ROWS, score="sum")
    records = profile(profile_crows_pairs, options, model, {"it": file}, tmp_path / "w")
    pairs = {pair.id: pair for pair in read_pairs(file)}
    texts = [text for r in records for text in (pairs[r["id"]].more, pairs[r["id"]].less)]
    requests = [Instance("loglikelihood", {}, ("", text), i) for i, text in enumerate(texts)]
    theirs = [total for total, _ in peer.loglikelihood(requests, disable_tqdm=True)]
    ours = [total for record in records for total in record["log_likelihoods"]]
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert [r["stereotypical"] for r in records] == [
        float(more > less) for more, less in zip(theirs[::2], theirs[1::2], strict=True)
    ]


def test_batches_change_nothing(
    model: LanguageModel, study_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Totals differ by less than 1e-3 between one example a pass and passes of 2,000 tokens."""
    from heirloom.profiling.data.multiple_choice import read_hellaswag
    from heirloom.profiling.engines.likelihood import encode_option, score

    questions = read_hellaswag(study_data("hellaswag"), text="harness")[:40]
    groups = [[encode_option(model, q.context, f" {o}") for o in q.options] for q in questions]
    one, many = (score(model, groups, work=tmp_path / str(n), batch_tokens=n) for n in (1, 2000))
    for left, right in zip(one, many, strict=True):
        assert [x.total for x in left] == pytest.approx([x.total for x in right], abs=1e-3)
