"""The table of all candidates, and that the study's files load as data sets of the hub do."""

import json
import math
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import toy_study

from heirloom.analyse.candidates import write_candidates
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_jsonl


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "toy"
    toy_study.build_study(root)
    write_candidates(root)
    return root


def test_a_row_per_candidate_with_scores_and_choices(study: Path) -> None:
    table = pd.read_parquet(study / "candidates.parquet")
    assert list(table.columns) == [
        *("teacher", "prompts", "prompt_id", "prompt", "sample", "completion", "finish_reason"),
        *("n_tokens", "prompt_tokens", "reasoning", "score.length", "score.toxicity", "chosen_by"),
    ]
    # Two teachers, two prompt sets of two prompts, two samples.
    assert len(table) == 16
    rows = table.set_index(["teacher", "prompt_id", "sample"])
    # The longest of both teachers, 40 words, and the longest of the ablation's.
    first = rows.loc[("beta", "p1", 0)]
    assert list(first["chosen_by"]) == ["length-multi"]
    assert (first["score.length"], first["n_tokens"], first["prompt"]) == (
        40,
        40,
        "Prompt p1 & co.",
    )
    assert list(rows.loc[("alpha", "p1", 1), "chosen_by"]) == ["random-multi", "length-alpha"]
    assert list(rows.loc[("beta", "p1", 1), "chosen_by"]) == []
    # Null is not 0.
    assert math.isnan(rows.loc[("alpha", "q2", 1), "score.toxicity"])
    assert rows.loc[("alpha", "q1", 1), "score.toxicity"] == 0.2


def test_batches_do_not_show_and_columns_of_nulls_have_a_type(study: Path) -> None:
    """Sixteen rows in batches of five, as in one."""
    file = study / "candidates.parquet"
    whole = pyarrow.parquet.read_table(file)
    try:
        write_candidates(study, rows=5)
        batched = pyarrow.parquet.ParquetFile(file)
        assert batched.num_row_groups == 4
        assert batched.read() == whole
    finally:
        write_candidates(study)
    assert whole["reasoning"].null_count == whole["prompt_tokens"].null_count == 16
    assert whole.schema.field("reasoning").type == pyarrow.string()
    assert whole.schema.field("prompt_tokens").type == pyarrow.int64()
    assert not list(study.glob(".*partial"))


@pytest.mark.parametrize(
    ("file", "row"),
    [
        ("scores/alpha/instructions/length.jsonl", {"prompt_id": "p9", "sample": 0, "score": 1}),
        ("generations/alpha/instructions/candidates.jsonl", {"prompt_id": "p1", "sample": 2}),
        (
            "datasets/length-alpha/train.jsonl",
            {"prompt_id": "p1", "sample": -1, "teacher": "alpha"},
        ),
    ],
)
def test_files_of_other_prompts_are_named(tmp_path: Path, file: str, row: dict[str, Any]) -> None:
    root = tmp_path / "toy"
    toy_study.build_study(root)
    path = root / file
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    with pytest.raises(HeirloomError, match=rf"{file} has prompt '{row['prompt_id']}', sample"):
        write_candidates(root)
    assert not list(root.glob("*.parquet")) and not list(root.glob(".*partial"))


def loaded(kind: str, file: Path, cache: Path) -> list[dict[str, Any]]:
    found = datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=str(cache))
    rows: list[dict[str, Any]] = found.to_list()
    return rows


def test_a_study_loads_as_data_sets(study: Path, tmp_path: Path) -> None:
    """Candidates, training sets and records, with `datasets.load_dataset` and no options."""
    rows = loaded("parquet", study / "candidates.parquet", tmp_path)
    assert len(rows) == 16
    assert [row["chosen_by"] for row in rows].count([]) < 16
    for file in sorted(study.rglob("*.jsonl")):
        found = loaded("json", file, tmp_path)
        # A key that a record leaves out is null in a table.
        assert found == [{**dict.fromkeys(found[0]), **row} for row in read_jsonl(file)], file
