"""The table of all candidates, and that the study's files load as data sets of the hub do."""

import math
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import toy_study

from heirloom.analyse.candidates import write_candidates


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
        *("n_tokens", "score.length", "score.toxicity", "chosen_by"),
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
        lines = pd.read_json(file, lines=True)
        found = loaded("json", file, tmp_path)
        assert len(found) == len(lines), file
        assert set(found[0]) == set(lines.columns), file
