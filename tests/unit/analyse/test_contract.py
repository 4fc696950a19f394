"""Every registered table, on a study that has all of them; and one of a plugin."""

from pathlib import Path

import pandas as pd
import pytest
from toy_study import plan

from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables import (
    TABLES,
    Table,
    read_all,
    table,
    table_names,
    to_csv,
    write_tables,
)
from heirloom.support.errors import HeirloomError

CAPTIONS = Path(__file__).resolve().parents[3] / "report/captions"


@pytest.fixture(scope="module")
def results(wide_study_folder: Path) -> Results:
    return load_results(wide_study_folder)


@pytest.mark.parametrize("name", TABLES.names())
def test_a_table_says_what_it_is(name: str) -> None:
    registered = TABLES.get(name)
    assert registered.name == name and registered.title and registered.caption
    assert (CAPTIONS / f"{name}.rst").exists()


def test_every_table_has_a_place_of_its_own() -> None:
    assert len({registered.order for registered in TABLES}) == len(TABLES.names())


def test_the_order_of_the_report(results: Results) -> None:
    assert table_names(results.plan) == [
        *("models", "changes", "complete_pairs", "noise_floor", "training_sets", "selection"),
        *("winners", "efficiency", "inherited", "candidates", "profiles", "calibration_bins"),
        *("agreement", "agreement_gain", "win_rates", "preference_leakage", "near_duplicates"),
        "settings",
    ]
    # Without selected sets, calibration and judge, what is about them is left out.
    small = plan({}, objectives={})
    assert table_names(small) == [
        *("models", "changes", "training_sets", "candidates", "profiles", "settings")
    ]


@pytest.mark.parametrize("name", [each.name for each in TABLES if not each.apart])
def test_a_table_is_what_it_says(name: str, results: Results, wide_study_folder: Path) -> None:
    registered = TABLES.get(name)
    assert registered.applies(results.plan)
    found = registered.compute(results)
    assert len(found) and found.columns.is_unique
    for column in found.columns:
        assert registered.heading(column)
        if registered.is_text(column):
            assert found[column].map(type).eq(str).all(), column
        else:
            assert pd.api.types.is_numeric_dtype(found[column]), column
    again = registered.compute(load_results(wide_study_folder))
    assert to_csv(found) == to_csv(again)


def test_tables_survive_their_files(own_wide_study_folder: Path) -> None:
    write_tables(own_wide_study_folder)
    results = load_results(own_wide_study_folder)
    written = read_all(own_wide_study_folder / "tables", results.plan)
    assert list(written) == table_names(results.plan)
    for name, found in written.items():
        expected = TABLES.get(name).compute(results)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-9)


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table that a plugin brings."""
    monkeypatch.setattr(TABLES, "_components", {name: TABLES.get(name) for name in TABLES.names()})
    monkeypatch.setattr(TABLES, "_sources", {name: TABLES.source(name) for name in TABLES.names()})

    @table(
        "longest",
        title="Longest candidates",
        text=["teacher", "prompt_*"],
        headings={"tokens": "Tokens, most", "of_*": "Of {}"},
    )
    def longest(results: Results) -> pd.DataFrame:
        """Longest candidate of every teacher,
        in tokens.

        Not in the caption.
        """
        rows = [
            (teacher, prompts, "", max(row["n_tokens"] for row in pool))
            for (teacher, prompts), pool in results.candidates.items()
        ]
        return pd.DataFrame(rows, columns=["teacher", "prompt_set", "of_all", "tokens"])

    return TABLES.get("longest")


def test_a_table_of_a_plugin_is_written_with_the_others(
    longest: Table, own_study_folder: Path
) -> None:
    write_tables(own_study_folder)
    tables = read_all(own_study_folder / "tables", plan())
    assert list(tables)[-1] == "longest"
    # Words stand for tokens: 30 and 9 of alpha, 40 and 7 of beta. What is empty is no number.
    found = tables["longest"]
    assert found["tokens"].tolist() == [30, 9, 40, 7] and found["of_all"].isna().all()
    assert longest.caption == "Longest candidate of every teacher, in tokens."
    headings = [longest.heading(column) for column in found.columns]
    assert headings == ["Teacher", "Prompt set", "Of all", "Tokens, most"]


def test_a_name_is_taken_once(longest: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeirloomError, match="'changes' is defined twice"):
        table("changes", title="Changes")(lambda results: pd.DataFrame())
