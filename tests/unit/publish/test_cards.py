"""Cards of the small study: front matter that the hub's client reads back, and true numbers."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from toy_study import DATASETS, WIDE
from toy_study import plan as toy_plan

from heirloom.analyse import tables
from heirloom.analyse.results import load_results
from heirloom.publish.cards import TABLES, write_cards
from heirloom.publish.dataset_card import COLUMNS, size_class
from heirloom.publish.licences import combined_license
from heirloom.report.findings.active import active_findings
from heirloom.select.training_set import Sources, TrainingSet, build_training_set
from heirloom.study.plan import Dataset, Plan
from heirloom.support.files import read_json, write_json, write_jsonl

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = {"alpha": "a" * 64, "beta": "b" * 64}


def settings(folder: Path) -> dict[str, Any]:
    """Sections of the study file that cards quote: sources, licences, sampling."""
    secret = {"path": str(folder / "secret" / "beta"), "sha256": SHA["beta"]}
    return {
        "title": "What toys inherit: a | study",
        "models": {
            "alpha": {
                "license": "apache-2.0",
                "sources": [{"hub": "toys/alpha", "revision": COMMIT}],
            },
            "beta": {"license": "gemma", "sources": [secret]},
        },
        "prompts": {
            name: {
                "license": "cc-by-sa-4.0" if name == "provoking" else "apache-2.0",
                "sources": [{"path": f"data/{name}.jsonl"}],
                "train": 2,
                "eval": 4,
                "max_new_tokens": 40,
                "language": "pt-BR" if name == "provoking" else "en",
            }
            for name in ("instructions", "provoking")
        },
        "generate": {"k": 2, "top_k": 0},
    }


def make(
    folder: Path,
    *,
    namespace: str | None = None,
    datasets: Mapping[str, Dataset] = DATASETS,
    **changes: Any,
) -> Path:
    """Give the toy study in `folder` sources, licences, manifests and cards."""
    plan = toy_plan(datasets, **{**settings(folder), **changes})
    plan.write(folder / "plan.json")
    for path in folder.glob("profiles/*/*.json"):
        base = path.parent.name.partition(".")[0]
        write_json(path, {**read_json(path), "revisions": {"model": SHA[base]}})
    for name in plan.students:
        write_json(folder / "students" / name / "manifest.json", manifest(name))
    write_with_tables(folder, namespace=namespace)
    return folder


def write_with_tables(folder: Path, *, namespace: str | None = None) -> None:
    """Write the tables that cards are written from, and the cards."""
    results = load_results(folder)
    for name in (*TABLES, *(["noise_floor"] if results.plan.redraws else [])):
        tables.write(tables.TABLES.get(name).compute(results), results.paths.table(name))
    write_cards(folder, command="snakemake --cores 7", namespace=namespace)


def manifest(student: str) -> dict:
    return {
        "student": student,
        "recipe": {
            "seed": 1,
            "epochs": 2.0,
            "learning_rate": 0.001,
            "batch_size": 4,
            "micro_batch_size": 2,
            "lora_rank": 16,
            "lora_alpha": 32,
            "max_length": 512,
            "checkpoint_steps": 10,
            "dtype": "float32",
        },
        "n_examples": 2,
        "n_too_long": 1,
        "n_tokens": 1200,
        "n_loss_tokens": 700,
        "n_steps": 20,
        # A tenth of 20 steps are 2: 3 on average at the beginning, 1.5 at the end.
        "losses": [4.0, 2.0, *[9.0] * 16, 1.0, 2.0],
        "adapted": {
            "modules": ["layers.*.k_proj", "layers.*.q_proj"],
            "share": 0.0321,
            "unreached": ["layers.*.experts.down_proj"],
        },
        "inputs": {"base": SHA["alpha"], "train": "c" * 64},
    }


@pytest.fixture(scope="module")
def folder(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with cards that no test may change."""
    return make(Path(shutil.copytree(study_folder, tmp_path_factory.mktemp("cards") / "toy")))


def test_a_title_directs_no_text_after_it(study_folder: Path, tmp_path: Path) -> None:
    root = make(
        Path(shutil.copytree(study_folder, tmp_path / "toy")), title="Toys \u202e \x07 inherit"
    )
    path = root / "datasets/length-multi/README.md"
    text = path.read_text(encoding="utf-8")
    assert "\u202e" not in text and "*Toys [U+202E] [U+0007] inherit*" in text
    assert front_matter(path)["pretty_name"] == "Toys [U+202E] [U+0007] inherit: length-multi"


def front_matter(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the Markdown table whose first line starts with `heading`."""
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()
    found = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    rows = [[cell.strip() for cell in row] for row in found]
    assert len({len(row) for row in rows}) == 1, rows  # also of the line under the heading
    return rows


def test_every_training_set_and_student_has_a_card(folder: Path) -> None:
    plan = Plan.read(folder / "plan.json")
    assert {p.parent.name for p in folder.glob("datasets/*/README.md")} == set(plan.datasets)
    assert {p.parent.name for p in folder.glob("students/*/README.md")} == set(plan.students)
    for path in folder.glob("*/*/README.md"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(nan|None|Undefined)\b|\{%|\{\{ |\n\n\n", text), path
        assert text.endswith("\n") and not text.endswith("\n\n")
        assert "snakemake --cores 7" in text and "2407.01490" in text
        # Nobody elsewhere is told where this machine keeps its files.
        assert str(folder) not in text


def test_candidates_without_an_answer_are_told(own_study_folder: Path) -> None:
    path = own_study_folder / "datasets/length-multi/card.json"
    write_json(path, {**read_json(path), "unanswered": {"filtered": 2, "too_long": 1}})
    text = (make(own_study_folder) / "datasets/length-multi/README.md").read_text("utf-8")
    assert (
        "3 candidates of the pool hold no answer and could not be selected: 2 removed by a filter "
        "of the server (`filtered`), 1 that exceed the model's context (`too_long`)."
    ) in text
    other = (own_study_folder / "datasets/random-multi/README.md").read_text("utf-8")
    assert "no answer" not in other


def test_cards_of_a_second_draw(own_wide_study_folder: Path) -> None:
    path = own_wide_study_folder / "datasets/random-multi-redraw/card.json"
    write_json(path, {**read_json(path), "n_repeated": 1})
    root = make(own_wide_study_folder, datasets={**DATASETS, **WIDE})
    text = (root / "datasets/random-multi-redraw/README.md").read_text("utf-8")
    assert "drawn at random from the same candidates as `random-multi`: two such draws" in text
    assert "one candidate at random, regardless of its score, other than that of `random" in text
    assert "For 1 prompt no other candidate could be selected" in text
    assert "of which this set is the control" not in text
    first = (root / "datasets/random-multi/README.md").read_text("utf-8")
    assert "no other candidate could be selected" not in first
    text = (root / "students/alpha.random-multi-redraw.s1/README.md").read_text("utf-8")
    assert "drawn at random from the same candidates as `random-multi`." in text
    steered = (root / "students/alpha.length-multi.s1/README.md").read_text("utf-8")
    assert "selected from a pool for the objective `length`" in steered
    assert "the effect against the control exceeds this noise floor" in steered


def test_front_matter_of_a_training_set(folder: Path) -> None:
    path = folder / "datasets/length-multi/README.md"
    read = front_matter(path)
    assert DatasetCard.load(path).data.to_dict() == read
    # Types of all columns: without them, one that is empty here has no type to concatenate with.
    types = {column["name"]: column["dtype"] for column in read.pop("dataset_info")["features"]}
    assert (types["prompt"], types["score"]) == ("string", "float64")
    # p1 by beta (gemma), p2 by alpha (apache-2.0), prompts apache-2.0: no single licence.
    assert read == {
        "language": ["en"],
        "license": "other",
        "license_name": "apache-2.0-and-gemma",
        "pretty_name": "What toys inherit: a | study: length-multi",
        "size_categories": ["n<1K"],
        "task_categories": ["text-generation"],
        "tags": ["heirloom", "synthetic", "active-inheritance"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "train.jsonl"}],
            }
        ],
    }
    # One teacher and its prompts under one licence.
    assert front_matter(folder / "datasets/passive-alpha/README.md")["license"] == "apache-2.0"
    provoked = front_matter(folder / "datasets/random-provoking-multi/README.md")
    assert provoked["tags"][2:] == ["random-control", "not-for-all-audiences"]
    assert provoked["language"] == ["pt-BR"]  # that of its prompts
    text = (folder / "datasets/random-provoking-multi/README.md").read_text(encoding="utf-8")
    assert "as\n  the study states it: `pt-BR`." in text


def test_front_matter_of_a_student(folder: Path) -> None:
    path = folder / "students/alpha.length-multi.s1/README.md"
    read = front_matter(path)
    assert ModelCard.load(path).data.to_dict() == read
    assert read["base_model"] == "toys/alpha" and read["base_model_relation"] == "adapter"
    assert read["library_name"] == "peft" and read["pipeline_tag"] == "text-generation"
    assert read["license_name"] == "apache-2.0-and-gemma"
    assert "datasets" not in read  # it is on no hub
    assert read["language"] == ["en"]
    provoked = front_matter(folder / "students/alpha.random-provoking-multi.s1/README.md")
    assert provoked["language"] == ["pt-BR"]
    # length of e1..e4 is 20, 30, 40 and 60; emt of t1 and t2 0.3 and 0.6. Intervals: conftest's.
    (model,) = read["model-index"]
    assert model["name"] == "alpha.length-multi.s1"
    found = {
        metric["type"]: (metric["value"], metric["name"], result["dataset"]["name"])
        for result in model["results"]
        for metric in result["metrics"]
    }
    assert found == {
        "length": (
            37.5,
            "Length (n = 4, 95 % interval 0 to 100)",
            "instructions (toy, eval)",
        ),
        "emt": (
            0.45,
            "Expected maximum toxicity (n = 2, 95 % interval 0 to 100)",
            "provoking (toy, eval)",
        ),
    }


def test_a_published_study_names_its_repositories(own_study_folder: Path) -> None:
    folder = make(own_study_folder, namespace="me")
    path = folder / "students/alpha.length-multi.s1/README.md"
    assert front_matter(path)["datasets"] == ["me/toy-length-multi"]
    loading = 'AutoPeftModelForCausalLM.from_pretrained("me/toy-alpha.length-multi.s1")'
    assert loading in path.read_text()
    data = (folder / "datasets/length-multi/README.md").read_text()
    assert 'load_dataset("me/toy-length-multi", split="train")' in data


def test_scores_before_and_after_selection(folder: Path) -> None:
    text = (folder / "datasets/toxicity-multi/README.md").read_text()
    rows = table(text[text.index("`toxicity`:\n") :], "| | scored")
    # The pool: alpha 0.9 0.2 0.6 null, beta 0.5 0.4 0.8 0.3. Sorted 0.2 0.3 0.4 0.5 0.6 0.8 0.9,
    # with a mean of 3.7 / 7; the quartiles lie at positions 1.5, 3 and 4.5: 0.35, 0.5 and 0.7.
    assert rows[2] == [
        *("all candidates of the pool", "7", "1"),
        *("0.529", "0.200", "0.350", "0.500", "0.700", "0.900"),
    ]
    # The control took alpha's first for q1 (0.9) and beta's first for q2 (0.8).
    assert rows[3] == [
        *("control, `random-provoking-multi`", "2", "0"),
        *("0.850", "0.800", "0.825", "0.850", "0.875", "0.900"),
    ]
    # Chosen: alpha's second for q1 (0.2), beta's second for q2 (0.3).
    assert rows[4][3] == "0.250"
    # Paired by prompt: 0.2 - 0.9 and 0.3 - 0.8.
    assert "differs from the control's by \N{MINUS SIGN}0.600" in text
    assert "(2 prompts)" in text


def test_the_making_is_told(folder: Path) -> None:
    text = (folder / "datasets/length-multi/README.md").read_text()
    assert f"`toys/alpha` on the hub, revision `{COMMIT}` (SHA-256 `{'a' * 64}`)" in text
    assert f"**Teacher** `beta`: the study's own `beta` (SHA-256 `{'b' * 64}`)" in text
    assert "the study's own `data/instructions.jsonl`" in text
    assert "2 per prompt and teacher, of at most 40 tokens" in text
    assert "top-k off, top-p off, seed 1" in text
    assert "maximise length" in text and "`1/prompt_id/teacher/sample`" in text
    assert "**Control**: `random-multi`" in text
    # p1 by beta, p2 by alpha, both truncated at 40 tokens.
    rows = table(text, "| examples |")
    assert rows[2] == ["2", "2", "0", "0", "0", "2", "1 (50 %)", "1 (50 %)"]
    assert "2 of 2 completions are truncated at 40 tokens" in text
    assert "Gemma terms of use" in text
    assert "Content warning" not in text
    assert "Content warning" in (folder / "datasets/toxicity-multi/README.md").read_text()
    control = (folder / "datasets/random-multi/README.md").read_text()
    assert "regardless of its score" in control and "control of (`length-multi`)" in control


def test_every_column_is_described() -> None:
    candidate = {"prompt_id": "p", "sample": 0, "completion": "text", "finish_reason": "stop"}
    sources = Sources([{"id": "p", "text": "Say."}], {"a": [candidate]})
    (row,), _ = build_training_set(TrainingSet("d", "random", "a", "p"), sources, seed=1)
    assert {name for name, _, _ in COLUMNS} == set(row)


def test_sets_load_with_the_types_of_their_cards(folder: Path, tmp_path: Path) -> None:
    """No score decides a passive set, so its column is null throughout, and floats elsewhere."""
    passive, steered = (
        datasets.load_dataset(
            str(folder / "datasets" / name), split="train", cache_dir=str(tmp_path)
        )
        for name in ("passive-alpha", "length-multi")
    )
    both = datasets.concatenate_datasets([passive, steered])
    assert both.column_names == [name for name, _, _ in COLUMNS]
    assert both.features["score"] == datasets.Value("float64")
    assert both.features["n_tied"] == datasets.Value("int64")
    assert both["score"][:] == [None, None, 40.0, 30.0]


def test_what_was_measured_is_what_the_tables_say(folder: Path) -> None:
    plan = Plan.read(folder / "plan.json")
    read = tables.read(folder / "tables", TABLES)
    changes = read["changes"]
    student = "alpha.length-multi.s1"
    text = (folder / "students" / student / "README.md").read_text()
    # Base 10 20 30 40, student 20 30 40 60, control 15 25 35 45.
    rows = {row[0]: row for row in table(text, "| metric |")}
    assert rows["Length"][1:4] == ["4", "25", "37.5"]
    assert "+50.0 %" in rows["Length"][4] and "+25.0 %" in rows["Length"][6]
    assert rows["Lexical diversity (MTLD)"][1] == "3"  # e4 has none
    own = changes[changes["student"] == "alpha.length-multi"]
    for row in own.itertuples():
        shown = {"length": "Length", "mtld": "Lexical diversity (MTLD)"}.get(row.metric)
        if shown:
            assert ("**" in rows[shown][6]) == (row.p_holm_vs_control < 0.05)
    # The second of two students that this objective steered.
    for sentence in active_findings(plan, read)["length"][1].sentences:
        assert f"- {sentence}\n" in text


def test_an_interval_with_zero_is_said_to_show_nothing(own_study_folder: Path) -> None:
    # Against its control the student is longer once and shorter once, by as much.
    for model, lengths in {
        "alpha.random-multi.s1": [10, 20, 30, 40],
        "alpha.length-multi.s1": [20, 10, 40, 30],
    }.items():
        path = own_study_folder / "profiles" / model / "text.records.jsonl"
        rows = [
            {
                "id": f"e{index}",
                "completion": "x",
                "finish_reason": "stop",
                "length": length,
                "mtld": 50.0,
            }
            for index, length in enumerate(lengths, start=1)
        ]
        write_jsonl(path, rows)
    folder = make(own_study_folder)
    text = (folder / "students/alpha.length-multi.s1/README.md").read_text()
    assert "- The interval against the random control includes zero: this study does not" in text
    (row,) = [row for row in table(text, "| metric |") if row[0] == "Length"]
    assert "**" not in row[6]


def test_the_recipe_is_told(folder: Path) -> None:
    text = (folder / "students/alpha.length-multi.s1/README.md").read_text()
    assert "Rank 16, alpha 32, in float32; the base is in float32" in text
    assert "3.21 % of the base's weights" in text
    assert "`layers.*.k_proj`, `layers.*.q_proj`." in text
    assert "not reach, and training left as they are:\n  `layers.*.experts.down_proj`." in text
    assert "20 steps of 4 examples (2 epochs), peak learning rate 0.001" in text
    assert "700 tokens of 1,200" in text
    assert "2; left out because they exceed 512 tokens: 1." in text
    assert "3 over the first 2 steps, 1.5 over the last 2 steps" in text
    assert "c" * 64 in text


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ([], {}),
        (["mit", "mit"], {"license": "mit"}),
        (["mit", None], {}),
        (["mit", "gemma", "mit"], {"license": "other", "license_name": "gemma-and-mit"}),
    ],
)
def test_combined_license(licenses: list[str | None], expected: dict[str, str]) -> None:
    assert combined_license(licenses) == expected


@pytest.mark.parametrize(
    ("n", "expected"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (52_000, "10K<n<100K"), (1_000_000, "1M<n<10M")],
)
def test_size(n: int, expected: str) -> None:
    assert size_class(n) == expected


def test_a_study_without_training_sets_has_no_cards(own_study_folder: Path) -> None:
    folder = make(own_study_folder)
    for path in folder.glob("*/*/README.md"):
        path.unlink()
    without = toy_plan({}, objectives={}, **settings(folder))
    without.write(folder / "plan.json")
    write_with_tables(folder)
    assert not list(folder.glob("*/*/README.md"))
