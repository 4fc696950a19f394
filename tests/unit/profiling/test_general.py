"""The general benchmark: against lm-evaluation-harness's own run, its data, its mean by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heirloom import profiling
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import Task, summarise
from heirloom.profiling.calibration import CalibrationOptions
from heirloom.profiling.data.harness_rows import KNOWN, read_task
from heirloom.profiling.general import METRICS, GeneralOptions
from heirloom.profiling.options import needs
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_text

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def letters(text: list[str], label: str = "ABCD") -> dict[str, list[str]]:
    return {"text": text, "label": list(label[: len(text)])}


# The Hub's field names. Short: the tiny model's context is 256 tokens, about as many letters.
ROWS: dict[str, list[dict[str, Any]]] = {
    "boolq": [
        {"passage": "The wren is a bird.", "question": "is the wren a bird", "label": 1},
        {"passage": "A pine is a tree.", "question": "is a pine a bird", "label": 0},
    ],
    "rte": [
        {"sentence1": "Ann sold her car.", "sentence2": "Ann had a car.", "label": 0, "idx": 0},
        {"sentence1": "Ann sold her car.", "sentence2": "Ann has a dog.", "label": 1, "idx": 1},
    ],
    "hellaswag": [
        {
            "ind": 4,
            "activity_label": "Home",
            "ctx_a": "[header] How to sweep [title] Find a broom.",
            "ctx_b": "then you",
            "ctx": "unused here",
            "endings": ["sweep.", "[step] Look under it. [title] Done.", "eat.", "[step] Wait."],
            "label": "0",
        },
        {
            "ind": 4,
            "activity_label": "Surfing",
            "ctx_a": "A man stands on a board.",
            "ctx_b": "he",
            "ctx": "unused here",
            "endings": ["falls into the sea.", "reads.", "sells the board and a kite.", "is tall."],
            "label": "2",
        },
    ],
    "winogrande": [
        {
            "sentence": "The cup did not fit the box because the _ was too big.",
            "option1": "cup",
            "option2": "box",
            "answer": "1",
        },
        {
            "sentence": "Ann asked Sue for help, and _ gave it.",
            "option1": "Ann",
            "option2": "Sue",
            "answer": "2",
        },
    ],
    "arc_easy": [
        {
            "id": "e1",
            "question": "Which is a star?",
            "choices": letters(["the Sun", "the Moon", "Mars"]),
            "answerKey": "A",
        },
        {
            "id": "e2",
            "question": "What do plants need?",
            "choices": letters(["light", "salt", "noise", "cold", "iron"], "12345"),
            "answerKey": "5",
        },
    ],
    "arc_challenge": [
        {
            "id": "c1",
            "question": "What is ice?",
            "choices": letters(["solid water", "a gas", "salt", "hot"]),
            "answerKey": "B",
        }
    ],
    "openbookqa": [
        {
            "id": "o1",
            "question_stem": "The sun is responsible for",
            "choices": letters(["puppies", "plants growing, sprouting", "sleep", "cats"]),
            "answerKey": "D",
        },
        {
            "id": "o2",
            "question_stem": "What melts?",
            "choices": letters(["ice", "a stone wall", "air", "wood in a fire"]),
            "answerKey": "A",
        },
    ],
}


def lines(path: Path, rows: list[Any]) -> Path:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {name: lines(folder / f"{name}.jsonl", rows) for name, rows in ROWS.items()}


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


def run(model: LanguageModel, work: Path, data: dict[str, Path], **options: Any) -> list[Record]:
    task = Task(model, [], "instruction", None, data, 17, work)
    settings = GeneralOptions(tasks={name: name for name in data}, **options)
    return profiling.BENCHMARKS.get("general").run(task, settings)


def harness(model: LanguageModel, data: dict[str, Path], folder: Path) -> dict[str, Any]:
    """The harness's own evaluation of the same files with its own Hugging Face model.

    The tasks are declared as its manual says: a file that includes the shipped one and names other
    data, which `datasets` then loads.
    """
    import lm_eval.tasks
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    shipped = Path(lm_eval.tasks.__file__).parent
    declarations = []
    for name, path in data.items():
        (original,) = [
            file
            for file in shipped.glob("*/**/*.yaml")
            if f"\ntask: {name}\n" in f"\n{file.read_text(encoding='utf-8')}"
        ]
        declaration = {
            "include": str(original),
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "data_files": {"validation": str(path)},
                "cache_dir": str(folder / "cache"),
            },
            "training_split": None,
            "validation_split": "validation",
            "test_split": None,
        }
        file = folder / f"{name}.yaml"
        file.write_text(json.dumps(declaration), encoding="utf-8")  # JSON is YAML
        declarations.append(str(file))
    results = simple_evaluate(
        HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=2),
        tasks=declarations,
        task_manager=lm_eval.tasks.TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    assert results is not None
    return dict(results)


def assert_as_the_harness(records: list[Record], results: dict[str, Any]) -> None:
    summary = summarise(records, METRICS, seed=1)
    for name, samples in results["samples"].items():
        found = [record for record in records if record["task"] == name]
        for record, sample in zip(found, samples, strict=True):
            expected = [float(answers[0][0]) for answers in sample["resps"]]
            assert record["log_likelihoods"] == pytest.approx(expected, abs=1e-3)
            assert record["acc"] == sample["acc"]
            assert record.get("acc_norm") == sample.get("acc_norm")
            assert record["gold"] == (
                ["1", "2"].index(sample["doc"]["answer"])
                if name == "winogrande"
                else int(sample["target"])
            )
        theirs = results["results"][name]
        assert summary[f"acc.{name}"]["value"] == pytest.approx(theirs["acc,none"], abs=1e-12)
        assert (f"acc_norm.{name}" in summary) == ("acc_norm,none" in theirs)
        if "acc_norm,none" in theirs:
            value = summary[f"acc_norm.{name}"]["value"]
            assert value == pytest.approx(theirs["acc_norm,none"], abs=1e-12)
    mean = np.mean([result["acc,none"] for result in results["results"].values()])
    assert summary["acc"]["value"] == pytest.approx(mean, abs=1e-12)


def test_the_harness_scores_the_same(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path
) -> None:
    records = run(tiny, tmp_path / "work", data)
    assert [record["task"] for record in records] == [n for n, rows in ROWS.items() for _ in rows]
    json.dumps(records, allow_nan=False)
    results = harness(tiny, data, tmp_path)
    assert list(results["samples"]) == list(ROWS)
    assert_as_the_harness(records, results)


def test_the_harness_scores_real_examples_the_same(tiny: LanguageModel, tmp_path: Path) -> None:
    """Ten of each that fit the tiny model's context; all of BoolQ's passages are too long."""
    data = {}
    for name, path in FILES.items():
        if not (SHARED / path).exists():
            pytest.skip(f"{path} is not beside the repository")
        rows = [e.row.model_dump(by_alias=True) for e in read_task(name, SHARED / path)]
        short = [row for row in rows if len(json.dumps(row)) < 400][:10]
        if name != "boolq":
            assert len(short) == 10
            data[name] = lines(tmp_path / f"{name}.jsonl", short)
    records = run(tiny, tmp_path / "work", data)
    assert_as_the_harness(records, harness(tiny, data, tmp_path))


def test_nothing_is_loaded_from_the_hub_or_cached(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    import datasets

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("this run wants something from elsewhere")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    cache = Path(datasets.config.HF_CACHE_HOME)
    before = set(cache.rglob("*"))
    assert run(tiny, tmp_path / "work", {"hellaswag": data["hellaswag"]})
    assert set(cache.rglob("*")) == before


def test_calibration_scores_the_same_questions_the_same(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path
) -> None:
    """Two ways to the same numbers: same draw, ids, log-likelihoods, acc and acc_norm."""
    both = {name: data[name] for name in ("hellaswag", "openbookqa")}
    general = run(tiny, tmp_path / "general", both, examples=1)
    task = Task(tiny, [], "instruction", None, both, 17, tmp_path / "calibration")
    options = CalibrationOptions(hellaswag="hellaswag", openbookqa="openbookqa", examples=1)
    calibration = profiling.BENCHMARKS.get("calibration").run(task, options)
    for ours, theirs in zip(general, calibration, strict=True):
        for key in ("id", "gold", "log_likelihoods", "n_characters", "acc", "acc_norm"):
            assert ours[key] == theirs[key]


def test_an_example_that_does_not_fit_is_missing(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path
) -> None:
    long = {**ROWS["boolq"][1], "passage": "tree " * 300}
    path = lines(tmp_path / "long.jsonl", [ROWS["boolq"][0], long])
    records = run(tiny, tmp_path / "work", {"boolq": path, "rte": data["rte"]})
    assert records[1]["log_likelihoods"] == [None, None]
    assert records[1]["acc"] is None
    summary = summarise(records, METRICS, seed=1)
    assert (summary["acc.boolq"]["n"], summary["acc.boolq"]["n_missing"]) == (1, 1)
    assert (summary["acc"]["n"], summary["acc"]["n_missing"]) == (3, 1)
    # The mean of what is there: half the accuracy on BoolQ's one, half that on RTE's two.
    expected = (records[0]["acc"] + (records[2]["acc"] + records[3]["acc"]) / 2) / 2
    assert summary["acc"]["value"] == expected


# The mean over tasks


def accuracies(*values: tuple[str, float]) -> list[Record]:
    return [{"id": str(i), "task": task, "acc": acc} for i, (task, acc) in enumerate(values)]


def test_every_task_counts_the_same() -> None:
    """RTE 1 of 4, BoolQ 1 of 1: (1/4 + 1) / 2 and not 2 of 5."""
    records = accuracies(("rte", 1.0), ("rte", 0.0), ("rte", 0.0), ("rte", 0.0), ("boolq", 1.0))
    summary = summarise(records, METRICS, seed=1)
    assert summary["acc"]["value"] == 0.625
    assert summary["acc.rte"]["value"] == 0.25
    assert "acc.arc_easy" not in summary
    # No example has acc_norm, and none of these tasks would.
    assert set(summary) == {"acc", "acc.rte", "acc.boolq"}


def test_a_task_that_is_not_drawn_does_not_count() -> None:
    """Weights: all of both; only RTE's first twice; BoolQ's alone."""
    _, statistic = METRICS["acc"].uses("acc")
    columns = {"task": np.array(["rte", "rte", "boolq"]), "acc": np.array([1.0, 0.0, 1.0])}
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    with np.errstate(invalid="ignore"):
        assert statistic(columns, weights).tolist() == [0.75, 2 / 3, 1.0]


# Data

FILES = {
    "boolq": "general/boolq_validation.jsonl.gz",
    "rte": "general/rte_validation.jsonl",
    "hellaswag": "hellaswag/hellaswag_val.jsonl.gz",
    "winogrande": "general/winogrande_validation.jsonl.gz",
    "arc_easy": "general/arc_easy_validation.jsonl",
    "arc_challenge": "general/arc_challenge_validation.jsonl",
    "openbookqa": "openbookqa/Main/test.jsonl",
}
# SOURCES.md beside the files.
SIZES = {
    "boolq": 3270,
    "rte": 277,
    "hellaswag": 10_042,
    "winogrande": 1267,
    "arc_easy": 570,
    "arc_challenge": 299,
    "openbookqa": 500,
}


@pytest.mark.parametrize("name", FILES)
def test_every_row_of_the_real_files_isread_task(name: str) -> None:
    if not (SHARED / FILES[name]).exists():
        pytest.skip(f"{FILES[name]} is not beside the repository")
    examples = read_task(name, SHARED / FILES[name])
    assert len({example.id for example in examples}) == SIZES[name]


def test_both_publications_of_boolq(tmp_path: Path) -> None:
    """SuperGLUE has `label`; BoolQ by itself `answer`, true or false."""
    super_glue = ROWS["boolq"]
    by_itself = [
        {"passage": r["passage"], "question": r["question"], "answer": r["label"] == 1}
        for r in super_glue
    ]
    read = [
        read_task("boolq", lines(tmp_path / f"{i}.jsonl", rows))
        for i, rows in enumerate((super_glue, by_itself))
    ]
    assert read[0] == read[1]
    assert [example.row.gold for example in read[0]] == [1, 0]


@pytest.mark.parametrize("name", ROWS)
def test_parquet(tmp_path: Path, data: dict[str, Path], name: str) -> None:
    pd.DataFrame(ROWS[name]).to_parquet(tmp_path / "a.parquet")
    assert read_task(name, tmp_path / "a.parquet") == read_task(name, data[name])


def test_the_right_answers() -> None:
    """By hand, from the rows above."""
    expected = {
        "boolq": [1, 0],
        "rte": [0, 1],
        "hellaswag": [0, 2],
        "winogrande": [0, 1],
        "arc_easy": [0, 4],
        "arc_challenge": [1],
        "openbookqa": [3, 0],
    }
    for name, rows in ROWS.items():
        layout = KNOWN[name].layout
        assert [layout.model_validate(row).gold for row in rows] == expected[name]


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("boolq", {"label": 2}, "label: "),
        ("boolq", {"label": None}, "label: "),
        ("boolq", {"passage": " "}, "passage: "),
        ("rte", {"label": -1}, "label: "),  # the test set of GLUE
        ("rte", {"sentence2": None}, "sentence2: "),
        ("hellaswag", {"endings": ["a", "b", "c"]}, "endings: "),
        ("winogrande", {"answer": ""}, "answer: "),  # the test set
        ("winogrande", {"sentence": "No gap."}, "sentence: "),
        ("winogrande", {"option1": ""}, "option1: "),
        ("arc_easy", {"answerKey": "F"}, "answerKey 'F' is not one of the labels"),
        ("arc_easy", {"choices": letters(["one"])}, "fewer than two choices"),
        ("arc_easy", {"choices": letters(["one", ""])}, "choices.text.1: "),
        ("arc_easy", {"choices": {"text": ["a", "b"], "label": ["A"]}}, "different number"),
        ("openbookqa", {"choices": letters(["a", "b", "c"])}, "answerKey 'D' is not"),
    ],
)
def test_a_row_that_is_not_the_tasks(
    tmp_path: Path, name: str, change: dict[str, Any], problem: str
) -> None:
    path = lines(tmp_path / "a.jsonl", [ROWS[name][0], {**ROWS[name][0], **change}])
    with pytest.raises(HeirloomError) as error:
        read_task(name, path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert problem in str(error.value)


@pytest.mark.parametrize("tasks", [{}, {"boolqq": "b"}])
def test_tasks_are_known(tasks: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tasks"):
        GeneralOptions(tasks=tasks)
    assert needs(GeneralOptions(tasks={"rte": "r", "boolq": "b"})).data == ("r", "b")
