"""Options of scorers that name data sets of the study."""

import sys
from pathlib import Path
from typing import Any

import pytest

from heirloom.fetch.notes import Note, by_name, write_note
from heirloom.objectives import load
from heirloom.objectives.data_files import data_named, with_paths
from heirloom.objectives.scoring import Known, score, score_candidates
from heirloom.support.errors import HeirloomError
from heirloom.support.result_store import ResultStore

PLUGIN = '''
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from heirloom.objectives import DataFile

if TYPE_CHECKING:
    import pandas as pd


def listed(texts, *, words: DataFile, more: list[DataFile] = (), note: str = "rude"):
    """Share of a list's words in a text."""
    known = {word for file in [words, *more] for word in Path(file).read_text().split()}
    return [float(sum(word in known for word in text.split())) for text in texts]


def typed(texts, *, column: pd.Series = None):
    return [1.0 for _ in texts]
'''
FUNCTION = "listing_scorers:listed"


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's own on sys.path."""
    (tmp_path / "listing_scorers.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "listing_scorers", raising=False)


@pytest.fixture
def notes(tmp_path: Path) -> list[Path]:
    """Notes on two word lists, as the fetch stage writes them."""
    made = []
    for name, words in (("rude", "damn fool"), ("odd", "wren")):
        (tmp_path / f"{name}.txt").write_text(words)
        write_note(tmp_path / f"{name}.json", Note(name, tmp_path / f"{name}.txt", name[0] * 64))
        made.append(tmp_path / f"{name}.json")
    return made


def test_options_that_name_data_get_paths(notes: list[Path]) -> None:
    options = {"words": "rude", "more": ["odd", "rude"], "note": "rude"}
    assert data_named(FUNCTION, options) == ["rude", "odd"]
    found = with_paths(FUNCTION, options, by_name(notes))
    assert (found["words"].name, found["note"]) == ("rude.txt", "rude")
    assert [path.name for path in found["more"]] == ["odd.txt", "rude.txt"]
    # "damn" and "fool" of one list, "wren" of the other.
    assert score(FUNCTION, ["damn fool wren bird", "bird"], found) == [3.0, 0.0]


@pytest.mark.parametrize("function", ["length", "mtld", "profanity", "listing_scorers:typed"])
def test_other_scorers_name_nothing(function: str) -> None:
    """Also one whose annotations exist for type checkers only."""
    options: dict[str, Any] = {"window_words": 3, "column": "rude"}
    assert data_named(function, options) == []
    assert with_paths(function, options, {}) == options


def test_options_are_checked_by_name(notes: list[Path]) -> None:
    scorer = load(FUNCTION)
    scorer.check_options(["words", "note"])
    with pytest.raises(HeirloomError, match=r"no option 'word'\. Its options: words, more, note"):
        scorer.check_options(["word"])
    with pytest.raises(HeirloomError, match="requires the option 'words', which names an entry of"):
        scorer.check_options([])
    notes[0].with_suffix(".txt").unlink()
    with pytest.raises(HeirloomError, match=r"rude\.txt is gone"):
        with_paths(FUNCTION, {"words": "rude"}, by_name(notes))


def test_known_scores_hang_on_the_content_of_a_file(notes: list[Path], tmp_path: Path) -> None:
    """Not on its place, which differs between machines."""
    known = Known(ResultStore(tmp_path / "store"), [])
    candidates = [{"prompt_id": "p", "sample": 0, "completion": "damn wren"}]

    def scored(file: Path) -> float:
        options = {"words": file, "more": [file]}
        (row,) = score_candidates(candidates, FUNCTION, options, known=known)
        return float(row["score"])

    def kept() -> int:
        return len(list((tmp_path / "store").iterdir()))

    (tmp_path / "copy.txt").write_text("damn fool")
    first = tmp_path / "rude.txt"
    assert (scored(first), kept()) == (1.0, 1)
    assert (scored(tmp_path / "copy.txt"), kept()) == (1.0, 1)
    first.write_text("damn wren")
    assert (scored(first), kept()) == (2.0, 2)
