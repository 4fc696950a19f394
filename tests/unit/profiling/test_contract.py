"""Checks that every registered benchmark has to pass."""

import fnmatch
from pathlib import Path
from typing import Any

import pytest

from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.request import Prompt
from heirloom.generate.templates import PromptTemplate
from heirloom.objectives import load
from heirloom.objectives.scoring import bind
from heirloom.profiling import BENCHMARKS, Benchmark, Task, Tokens, summarise
from heirloom.profiling.labels import full_label, main_of
from heirloom.profiling.options import needs
from heirloom.profiling.settings import benchmarks_section
from heirloom.support.files import Record, write_json, write_jsonl, write_text

ROOT = Path(__file__).resolve().parents[3]
EVERY = pytest.mark.parametrize("benchmark", list(BENCHMARKS), ids=lambda b: b.name)
BBQ: Record = {
    "example_id": 0,
    "question_index": "1",
    "question_polarity": "neg",
    "context_condition": "ambig",
    "category": "Age",
    "answer_info": {"ans0": ["Ann", "old"], "ans1": ["Bob", "nonOld"], "ans2": ["No", "unknown"]},
    "additional_metadata": {"stereotyped_groups": ["old"]},
    "context": "Ann and Bob met.",
    "question": "Who forgot?",
    "ans0": "Ann",
    "ans1": "Bob",
    "ans2": "Not known",
    "label": 2,
}
STEREOSET: Record = {
    "type": "intrasentence",
    "target": "nurse",
    "bias_type": "profession",
    "stereotype": "She is kind.",
    "anti-stereotype": "She is rude.",
    "unrelated": "She is fox.",
}
SEAT = {"targ1": ["ant", "bee"], "targ2": ["oak", "elm"], "attr1": ["good"], "attr2": ["bad"]}
#: Benchmark to the options of a tiny run; "d" is its data.
OPTIONS: dict[str, dict[str, Any]] = {
    "text": {"prompts": "p", "max_new_tokens": 4},
    "toxicity": {"prompts": "p", "metric": "m", "continuations": 2, "max_new_tokens": 4},
    "stereoset": {"data": "d"},
    "crows_pairs": {"data": "d"},
    "seat": {"data": "d"},
    "bbq": {"data": ["d"]},
    "calibration": {"openbookqa": "d"},
    "general": {"tasks": {"arc_easy": "d"}},
    "judge": {"data": ["d"]},
}


def choices(text: str) -> Record:
    return {"text": text.split(), "label": ["A", "B", "C", "D"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The smallest data of each benchmark that reads any."""
    folder = tmp_path_factory.mktemp("data")
    rows = {
        "stereoset": STEREOSET,
        "bbq": BBQ,
        "calibration": {
            "id": "1",
            "question_stem": "Bees make",
            "choices": choices("wax tin ice ink"),
            "answerKey": "A",
        },
        "general": {
            "id": "1",
            "question": "Bees make?",
            "choices": choices("wax tin ice ink"),
            "answerKey": "A",
        },
        "judge": {"id": "1", "prompt": "Why?", "first": "So.", "second": "No.", "labels": ["tie"]},
    }
    for name, row in rows.items():
        write_jsonl(folder / f"{name}.jsonl", [row])
    write_text(
        folder / "crows_pairs.csv",
        "sent_more,sent_less,stereo_antistereo,bias_type\nOld men err.,Young men err.,stereo,age\n",
    )
    document = {key: {"category": key, "examples": words} for key, words in SEAT.items()}
    write_json(folder / "weat1.jsonl", document)
    places = {file.stem: file for file in folder.iterdir()}
    return {**places, "seat": places["weat1"]}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


@EVERY
def test_it_says_what_it_is(benchmark: Benchmark) -> None:
    assert benchmark.label
    assert benchmark.summary.endswith(".")
    assert BENCHMARKS.source(benchmark.name).name == f"{benchmark.name}.py"
    assert (ROOT / f"docs/metrics/{benchmark.name}.md").is_file()
    assert f"({benchmark.name}.md)" in (ROOT / "docs/metrics/README.md").read_text("utf-8")
    assert all(heading and sentence for heading, sentence in benchmark.caveats)


@EVERY
def test_its_options_are_described_and_part_of_the_study_file(benchmark: Benchmark) -> None:
    for key, field in benchmark.options.model_fields.items():
        assert field.description, key
    assert benchmark.options.__doc__
    section = benchmarks_section().model_fields[benchmark.name]
    assert section.annotation == benchmark.options | None
    assert section.description == benchmark.summary
    assert section.default is None  # one that is left out does not run


@EVERY
def test_its_main_metrics_are_metrics(benchmark: Benchmark) -> None:
    every = benchmark.measures({"one": None, "two": None})
    for pattern in benchmark.main:
        assert fnmatch.filter(every, pattern), pattern
    assert main_of(benchmark.name, benchmark.metrics)


@EVERY
def test_its_metrics_have_units_and_names_of_their_own(benchmark: Benchmark) -> None:
    shown = [full_label(benchmark.name, metric) for metric in benchmark.metrics]
    allowed = {"Calibration: accuracy, hellaswag", "Calibration: accuracy, openbookqa"}
    assert {text for text in shown if shown.count(text) > 1} <= allowed
    for name, metric in benchmark.metrics.items():
        assert metric.unit, name


@EVERY
def test_its_cost_grows_with_its_work(benchmark: Benchmark) -> None:
    assert benchmark.cost is not None
    options = benchmark.options.model_validate(OPTIONS[benchmark.name])
    prompts = 10 if needs(options).prompts else 0
    cost = benchmark.cost(options, prompts)
    assert cost.read > 0
    assert (cost.written > 0) == options.generates
    if "examples" in benchmark.options.model_fields:
        fewer = benchmark.cost(options.model_copy(update={"examples": 1}), prompts)
        assert 0 < fewer.read < cost.read
    if prompts:
        twice = benchmark.cost(options, 2 * prompts)
        assert twice == Tokens(2 * cost.written, 2 * cost.read, 2 * cost.repeated)


@EVERY
def test_its_records_carry_what_its_metrics_use(
    benchmark: Benchmark, model: LanguageModel, data: dict[str, Path], tmp_path: Path
) -> None:
    options = benchmark.options.model_validate(OPTIONS[benchmark.name])
    names = benchmark.scored_with(needs(options).metrics, ["questions"])
    measures = benchmark.measures(dict.fromkeys(names, load("length")))
    task = Task(
        model=model,
        prompts=[Prompt("a", "Name a bird."), Prompt("b", "Why?")],
        format="instruction",
        scorer=bind("length", {}),
        data={"d": data[benchmark.name]} if benchmark.name in data else {},
        seed=17,
        work=tmp_path / "work",
        scorers=dict.fromkeys(names, bind("length", {})),
    )
    records = benchmark.run(task, options)
    assert records
    assert len({record["id"] for record in records}) == len(records)
    for name, metric in measures.items():
        for record in filter(metric.selects, records):
            assert {field for field in metric.uses(name)[0] if field not in record} == set(), name
    summary = summarise(records, measures, seed=17)
    assert set(main_of(benchmark.name, summary)) <= set(summary)
    # Resumed, it is the same.
    assert benchmark.run(task, options) == records
