"""Calibration: its error against values by hand and of the reference, its data, a real run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest

from heirloom import profiling
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import Task, summarise
from heirloom.profiling.calibration import (
    CalibrationOptions,
    expected_calibration_error,
    measure,
    reliability,
)
from heirloom.profiling.data.multiple_choice import (
    HellaSwag,
    harness_text,
    read_hellaswag,
    read_layout,
    read_openbookqa,
)
from heirloom.profiling.options import needs
from heirloom.statistics.estimates import estimate
from heirloom.statistics.resampling import Array
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def shared(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"{path} is not beside the repository")
    return SHARED / path


# One question


def test_one_question_by_hand() -> None:
    """Three options, each the best by another measure.

    Sums -2, -3, -6; means per token -2/1 = -2, -3/3 = -1, -6/4 = -1.5; per character -2/1 = -2,
    -3/3 = -1, -6/24 = -0.25. The softmax of the means has the top 1 / (1 + e^-1 + e^-0.5).
    """
    found = measure([-2.0, -3.0, -6.0], [1, 3, 4], [1, 3, 24], gold=1)
    assert found == {
        "confidence": pytest.approx(1 / (1 + math.exp(-1) + math.exp(-0.5)), abs=1e-15),
        "accuracy": 1.0,
        "acc": 0.0,
        "acc_norm": 0.0,
    }
    right = {
        gold: [
            measure([-2.0, -3.0, -6.0], [1, 3, 4], [1, 3, 24], gold=gold)[name]
            for name in ("acc", "accuracy", "acc_norm")
        ]
        for gold in range(3)
    }
    assert right == {0: [1.0, 0.0, 0.0], 1: [0.0, 1.0, 0.0], 2: [0.0, 0.0, 1.0]}


def test_options_that_tie() -> None:
    """Four equal options: a quarter each, and the first counts as chosen."""
    assert measure([-4.0] * 4, [2] * 4, [5] * 4, gold=0) == {
        "confidence": 0.25,
        "accuracy": 1.0,
        "acc": 1.0,
        "acc_norm": 1.0,
    }
    assert measure([-4.0] * 4, [2] * 4, [5] * 4, gold=1)["accuracy"] == 0.0


def test_log_likelihoods_that_would_overflow() -> None:
    """Means of -2000 and -1000: exp of either is 0, their softmax is (0, 1)."""
    assert measure([-2000.0, -1000.0], [1, 1], [1, 1], gold=1)["confidence"] == 1.0


def test_an_option_without_a_log_likelihood() -> None:
    assert set(measure([-1.0, None], [1, 0], [4, 4], gold=0).values()) == {None}


# Expected calibration error


def ece(
    confidence: list[float], accuracy: list[float], bins: int, weights: Array | None = None
) -> float:
    columns = {"confidence": np.array(confidence), "accuracy": np.array(accuracy)}
    given = np.ones(len(confidence)) if weights is None else weights
    (value,) = expected_calibration_error(bins)(columns, given[None])
    return float(value)


@pytest.mark.parametrize(
    ("confidence", "accuracy", "bins", "expected"),
    [
        # {.2, .4} means .3, right 0; {.6, .8} means .7, right 1: (2 * .3 + 2 * .3) / 4.
        ([0.8, 0.2, 0.6, 0.4], [1.0, 0.0, 1.0, 0.0], 2, 0.3),
        # In one bin the two errors cancel: |.5 - .5|.
        ([0.8, 0.2, 0.6, 0.4], [1.0, 0.0, 1.0, 0.0], 1, 0.0),
        # Five in two bins, the first takes the odd one: {.1, .2, .3} means .2, right 1/3;
        # {.6, .8} means .7, right 1/2: (3 * 2/15 + 2 * .2) / 5.
        ([0.1, 0.2, 0.3, 0.6, 0.8], [0.0, 0.0, 1.0, 1.0, 0.0], 2, 0.8 / 5),
        # Equal ones stay together, where the first of them is: {.5, .5, .5}, right 1/3; {.9},
        # right 1: (3 * 1/6 + 1 * .1) / 4. Divided {.5, .5} | {.5, .9} it would depend on the order.
        ([0.5, 0.5, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], 2, 0.6 / 4),
        ([0.5, 0.5, 0.5, 0.9], [1.0, 0.0, 0.0, 1.0], 2, 0.6 / 4),
        # Fewer than bins, each by itself: (.4 + .1) / 2.
        ([0.6, 0.9], [1.0, 1.0], 10, 0.25),
        ([0.6], [0.0], 10, 0.6),
        # Perfect: of ten answers with a confidence of .7 seven are right, of ten with .4 four.
        ([0.7] * 10 + [0.4] * 10, [1.0] * 7 + [0.0] * 3 + [1.0] * 4 + [0.0] * 6, 10, 0.0),
    ],
)
def test_the_error_by_hand(
    confidence: list[float], accuracy: list[float], bins: int, expected: float
) -> None:
    assert ece(confidence, accuracy, bins) == pytest.approx(expected, abs=1e-12)


N = 23
DISTINCT = [0.25 + (i * 37 % N) / N * 0.7 for i in range(N)]
RIGHT = [float(i * i % 3 == 1) for i in range(N)]
TIED = [float(value) for value in np.round(DISTINCT, 1)]


@pytest.mark.parametrize(
    ("confidence", "bins", "repeated", "expected"),
    [
        (DISTINCT, 10, False, 0.30255198487712665),
        (DISTINCT, 4, False, 0.2668241965973535),
        (DISTINCT, 1, False, 0.06739130434782603),
        (TIED, 10, False, 0.2608695652173913),
        (TIED, 4, False, 0.2608695652173913),
        (TIED, 1, False, 0.06956521739130439),
        (DISTINCT, 10, True, 0.3829380764163373),
        (TIED, 10, True, 0.36969696969696975),
    ],
)
def test_the_error_is_that_of_the_reference(
    confidence: list[float], bins: int, repeated: bool, expected: float
) -> None:
    """Expected: get_ece_em of uncertainty-calibration 0.1.4, run on the same values.

    Its sample is the repeated one where `repeated`: each value 0, 1, 2 or 3 times, 33 in all.
    """
    weights = np.array([float(i % 4) for i in range(N)]) if repeated else None
    assert ece(confidence, RIGHT, bins, weights) == pytest.approx(expected, abs=1e-12)


def test_weights_are_repeats() -> None:
    """Also where an example is not drawn at all, at either end or within a run of equal ones."""
    generator = np.random.default_rng(1)
    for n in (1, 2, 9, 10, 11, 57):
        for digits in (1, 12):
            confidence = np.round(generator.uniform(0.25, 1, n), digits)
            accuracy = generator.integers(0, 2, n).astype(float)
            weights = np.bincount(generator.integers(0, n, n), minlength=n)
            repeated = ece(
                np.repeat(confidence, weights).tolist(), np.repeat(accuracy, weights).tolist(), 10
            )
            weighted = ece(confidence.tolist(), accuracy.tolist(), 10, weights.astype(float))
            assert weighted == pytest.approx(repeated, abs=1e-12)


def test_resamples_do_not_mix() -> None:
    """Many at once must give what each gives alone."""
    generator = np.random.default_rng(2)
    columns = {
        "confidence": generator.uniform(0.25, 1, 30),
        "accuracy": generator.integers(0, 2, 30).astype(float),
    }
    weights = generator.multinomial(30, [1 / 30] * 30, size=50).astype(float)
    statistic = expected_calibration_error(10)
    alone = [float(statistic(columns, row[None])[0]) for row in weights]
    assert statistic(columns, weights).tolist() == alone


def test_the_error_has_an_interval() -> None:
    records = [
        {"confidence": c, "accuracy": a} for c, a in zip(DISTINCT * 4, RIGHT * 4, strict=True)
    ]
    found = estimate(
        [*records, {"confidence": None, "accuracy": None}],
        expected_calibration_error(10),
        ("confidence", "accuracy"),
        seed=1,
        resamples=500,
    )
    assert (found.n, found.n_missing) == (92, 1)
    assert found.low is not None and found.high is not None
    assert 0 < found.low < found.high < 1


# The reliability diagram


def record(confidence: float | None, accuracy: float | None) -> Record:
    return {"confidence": confidence, "accuracy": accuracy}


def test_the_bins_of_a_diagram_by_hand() -> None:
    """As the fourth error above, with one question that has no confidence."""
    records = [record(0.9, 1.0), record(None, None), record(0.5, 0.0), record(0.5, 1.0)]
    assert reliability([*records, record(0.5, 0.0)], bins=2) == [
        {"low": 0.5, "high": 0.5, "confidence": 0.5, "accuracy": pytest.approx(1 / 3), "n": 3},
        {"low": 0.9, "high": 0.9, "confidence": 0.9, "accuracy": 1.0, "n": 1},
    ]
    assert reliability([record(None, None)]) == []


@pytest.mark.parametrize("confidence", [DISTINCT, TIED])
def test_the_diagram_shows_the_error(confidence: list[float]) -> None:
    bins = reliability([record(c, a) for c, a in zip(confidence, RIGHT, strict=True)])
    assert sum(b["n"] for b in bins) == N
    shown = sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / N
    assert shown == pytest.approx(ece(confidence, RIGHT, 10), abs=1e-12)


# Data

WIKIHOW = {
    "ind": 7,
    "activity_label": "Home and Garden",
    "ctx_a": "[header] How to sweep [title] Find a broom. [step] Any will do.",
    "ctx_b": "then You",
    "ctx": "[header] How to sweep [title] Find a broom. [step] Any will do. then You",
    "endings": ["sweep.", "[step] Look under  it. [title] Done.", "eat.", "[substeps] Wait."],
    "label": "1",
}
OPENBOOK = {
    "id": "7-980",
    "question": {
        "stem": "The sun is responsible for",
        "choices": [
            {"text": "puppies", "label": "A"},
            {"text": "sleep", "label": "B"},
            {"text": "plants", "label": "C"},
            {"text": "cats", "label": "D"},
        ],
    },
    "answerKey": "C",
}
OPENBOOK_HUB = {
    "id": "7-980",
    "question_stem": "The sun is responsible for",
    "choices": {"text": ["puppies", "sleep", "plants", "cats"], "label": ["A", "B", "C", "D"]},
    "answerKey": "C",
}


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def arrow(path: Path, rows: list[Any]) -> Path:
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return path


def parquet(path: Path, rows: list[Any]) -> Path:
    pd.DataFrame(rows).to_parquet(path)
    return path


WRITERS = {"a.jsonl": lines, "a.arrow": arrow, "a.parquet": parquet}


def test_hellaswags_text_by_hand(tmp_path: Path) -> None:
    """Tags go; " [title]" becomes ". "; two spaces become one; ctx_b starts with a capital."""
    path = lines(tmp_path / "a.jsonl", [WIKIHOW])
    (question,) = read_hellaswag(path, text="harness")
    assert question.context == (
        "Home and Garden: How to sweep. Find a broom. Any will do. Then you"
    )
    assert question.options == ("sweep.", " Look under it.. Done.", "eat.", " Wait.")
    assert (question.id, question.gold) == ("hellaswag/0", 1)
    (raw,) = read_hellaswag(path, text="raw")
    assert (raw.context, raw.options) == (WIKIHOW["ctx"], tuple(WIKIHOW["endings"]))


def test_hellaswags_text_is_the_harnesss() -> None:
    from datasets import Dataset
    from lm_eval.tasks.hellaswag.utils import process_docs

    path = shared("hellaswag/hellaswag_val.jsonl.gz")
    items = read_layout(path, HellaSwag)
    documents = process_docs(Dataset.from_list([item.model_dump() for item in items]))
    expected = list(zip(documents["query"], documents["choices"], documents["gold"], strict=True))
    assert [(*harness_text(item), item.gold) for item in items] == expected
    questions = read_hellaswag(path, text="harness")
    assert len(questions) == len({question.id for question in questions}) == 10_042


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_questions(tmp_path: Path, name: str) -> None:
    (question,) = read_openbookqa(WRITERS[name](tmp_path / name, [OPENBOOK_HUB]))
    assert question.id == "openbookqa/7-980"
    assert question.context == "The sun is responsible for"
    assert question.options == ("puppies", "sleep", "plants", "cats")
    assert question.gold == 2
    assert [question] == read_openbookqa(lines(tmp_path / "upstream.jsonl", [OPENBOOK]))
    (ending,) = read_hellaswag(WRITERS[name](tmp_path / name, [WIKIHOW]), text="raw")
    assert (ending.options, ending.gold) == (tuple(WIKIHOW["endings"]), 1)


def test_openbookqa_whole() -> None:
    questions = read_openbookqa(shared("openbookqa/Main/test.jsonl"))
    assert len(questions) == len({question.id for question in questions}) == 500
    first = questions[0]
    assert first.id == "openbookqa/8-343"
    assert first.context.endswith("the best way to save money is to")
    assert first.options[first.gold] == "quit eating lunch out"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": ""}, "label: "),  # the test set of HellaSwag
        ({"label": 4}, "label: "),
        ({"endings": ["a", "b", "c"]}, "endings: "),
        ({"endings": ["a", "b", " ", "d"]}, "endings.2: "),
        ({"endings": "a b c d"}, "endings: "),
        ({"activity_label": None}, "activity_label: "),
        ({"ctx": ""}, "ctx: "),
    ],
)
def test_a_row_that_is_not_hellaswags(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = lines(tmp_path / "a.jsonl", [WIKIHOW, {**WIKIHOW, **change}])
    with pytest.raises(HeirloomError) as error:
        read_hellaswag(path, text="harness")
    assert str(error.value).startswith(f"{path}, line 2: {problem}")
    assert "four endings" in str(error.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answerKey": "E"}, "answerKey 'E' is not one of the labels"),
        ({"answerKey": None}, "answerKey: "),
        ({"question": {"stem": "", "choices": OPENBOOK["question"]["choices"]}}, "question_stem: "),
        ({"question": {"choices": OPENBOOK["question"]["choices"]}}, "question_stem: "),
        ({"question": {"stem": "x", "choices": OPENBOOK["question"]["choices"][:3]}}, "3 choices"),
        ({"question": {"stem": "x", "choices": [{"text": "", "label": "C"}] * 4}}, "choices.text"),
        ({"question": {"stem": "x", "choices": [{"text": "y", "label": "C"}] * 4}}, "'C' is not"),
        ({"question": {"stem": "x", "choices": ["a", "b", "c", "d"]}}, "choices: "),
    ],
)
def test_a_row_that_is_not_openbookqas(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    path = lines(tmp_path / "a.jsonl", [OPENBOOK, {**OPENBOOK, **change}])
    with pytest.raises(HeirloomError) as error:
        read_openbookqa(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert problem in str(error.value)


def test_a_file_without_rows(tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match=r"a\.jsonl has no rows"):
        read_openbookqa(lines(tmp_path / "a.jsonl", []))


def test_options_need_a_data_set() -> None:
    with pytest.raises(ValueError, match="hellaswag, openbookqa or both"):
        CalibrationOptions(examples=5)
    assert needs(CalibrationOptions(hellaswag="h", openbookqa="o")).data == ("h", "o")


# On the tiny model


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


def run(model: LanguageModel, work: Path, data: dict[str, Path], **options: Any) -> list[Record]:
    task = Task(model, [], "instruction", None, data, 17, work)
    names = {name: name for name in data}
    return profiling.BENCHMARKS.get("calibration").run(task, CalibrationOptions(**names, **options))


def by_itself(model: LanguageModel, context: str, option: str) -> tuple[float, int]:
    """Sum of the option's log-probabilities and its tokens, one forward pass, no engine."""
    import torch

    before = model.tokenizer(context).input_ids
    tokens = model.tokenizer(f"{context} {option}").input_ids
    with torch.no_grad():
        logits = model.network(torch.tensor([tokens])).logits[0].double().log_softmax(-1)
    places = range(len(before), len(tokens))
    return sum(float(logits[i - 1, tokens[i]]) for i in places), len(places)


def test_a_run_by_hand(tiny: LanguageModel, tmp_path: Path) -> None:
    data = {
        "hellaswag": lines(tmp_path / "h.jsonl", [WIKIHOW]),
        "openbookqa": lines(tmp_path / "o.jsonl", [OPENBOOK]),
    }
    records = run(tiny, tmp_path / "work", data)
    assert [r["id"] for r in records] == ["hellaswag/0", "openbookqa/7-980"]
    questions = [
        *read_hellaswag(data["hellaswag"], text="harness"),
        *read_openbookqa(data["openbookqa"]),
    ]
    for found, question in zip(records, questions, strict=True):
        alone = [by_itself(tiny, question.context, option) for option in question.options]
        totals = [total for total, _ in alone]
        n_tokens = [n for _, n in alone]
        assert found["log_likelihoods"] == pytest.approx(totals, abs=1e-3)
        assert found["n_tokens"] == n_tokens
        assert found["n_characters"] == [len(option) for option in question.options]
        means = np.array(totals) / n_tokens
        p = np.exp(means) / np.exp(means).sum()
        assert found["confidence"] == pytest.approx(p.max(), abs=1e-5)
        assert found["accuracy"] == float(p.argmax() == question.gold)
        assert found["acc"] == float(np.argmax(totals) == question.gold)
        characters = np.array([len(option) for option in question.options])
        assert found["acc_norm"] == float(np.argmax(totals / characters) == question.gold)
    json.dumps(records, allow_nan=False)
    summary = summarise(records, profiling.BENCHMARKS.get("calibration").metrics, seed=1)
    assert set(summary) == set(profiling.BENCHMARKS.get("calibration").metrics)
    # One question: the error is its distance from being right.
    one = records[1]
    assert summary["ece.openbookqa"]["value"] == pytest.approx(
        abs(one["confidence"] - one["accuracy"])
    )
    assert summary["ece_1bin.openbookqa"]["value"] == summary["ece.openbookqa"]["value"]


def test_the_text_of_hellaswag_is_an_option(tiny: LanguageModel, tmp_path: Path) -> None:
    data = {"hellaswag": lines(tmp_path / "h.jsonl", [WIKIHOW])}
    (raw,) = run(tiny, tmp_path / "work", data, text="raw")
    expected = [by_itself(tiny, WIKIHOW["ctx"], ending)[0] for ending in WIKIHOW["endings"]]
    assert raw["log_likelihoods"] == pytest.approx(expected, abs=1e-3)
    assert raw["n_characters"] == [len(ending) for ending in WIKIHOW["endings"]]


def test_examples_are_drawn_by_seed(tiny: LanguageModel, tmp_path: Path) -> None:
    """Of eight questions, two with each right answer, four: one with each."""
    rows = [{**OPENBOOK, "id": f"q{i}", "answerKey": "ABCD"[i % 4]} for i in range(8)]
    data = {"openbookqa": lines(tmp_path / "o.jsonl", rows)}
    records = run(tiny, tmp_path / "work", data, examples=4)
    assert sorted(r["gold"] for r in records) == [0, 1, 2, 3]
    summary = summarise(records, profiling.BENCHMARKS.get("calibration").metrics, seed=1)
    # No HellaSwag, no metrics of it.
    assert {name.split(".")[1] for name in summary} == {"openbookqa"}
    with pytest.raises(HeirloomError, match="9 examples are asked for, but there are 8"):
        run(tiny, tmp_path / "work", data, examples=9)


def test_a_question_that_does_not_fit_is_missing(tiny: LanguageModel, tmp_path: Path) -> None:
    """The context is 256 tokens."""
    long = {**OPENBOOK_HUB, "id": "long", "question_stem": "sun " * 300}
    data = {"openbookqa": lines(tmp_path / "o.jsonl", [OPENBOOK_HUB, long])}
    records = run(tiny, tmp_path / "work", data)
    assert records[1]["log_likelihoods"] == [None] * 4
    assert {records[1][name] for name in ("confidence", "accuracy", "acc", "acc_norm")} == {None}
    summary = summarise(records, profiling.BENCHMARKS.get("calibration").metrics, seed=1)
    assert {(m["n"], m["n_missing"]) for m in summary.values()} == {(1, 1)}
