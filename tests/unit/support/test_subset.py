"""Subsets: which examples are drawn, in which proportions, and which rows a file has."""

from pathlib import Path

import pyarrow
import pytest

from heirloom.support.errors import HeirloomError
from heirloom.support.row_files import read_document, read_rows
from heirloom.support.subset import draw

Item = tuple[str, str]
# Strata a, b and c with 6, 3 and 1 of 10 examples.
ITEMS: list[Item] = [(f"{s}{i}", s) for s, n in (("a", 6), ("b", 3), ("c", 1)) for i in range(n)]


def drawn(size: int | None, *, seed: int = 1, items: list[Item] = ITEMS) -> list[str]:
    chosen = draw(items, size, seed=seed, id=lambda i: i[0], stratum=lambda i: i[1], name="letters")
    return [item[0] for item in chosen]


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (10, (6, 3, 1)),
        (5, (3, 2, 0)),  # quotas 3, 1.5 and 0.5: of equal remainders the first by name
        (7, (4, 2, 1)),  # quotas 4.2, 2.1 and 0.7
        (1, (1, 0, 0)),  # quotas 0.6, 0.3 and 0.1
    ],
)
def test_strata_keep_their_shares(size: int, counts: tuple[int, int, int]) -> None:
    ids = drawn(size)
    found = tuple(sum(i[0] == s for i in ids) for s in "abc")
    assert found == counts


def test_the_order_of_the_whole_is_kept_and_the_seed_decides() -> None:
    assert drawn(None) == [item[0] for item in ITEMS]
    assert drawn(5) == sorted(drawn(5), key=[item[0] for item in ITEMS].index)
    assert drawn(5) == drawn(5, items=ITEMS[::-1])[::-1]
    assert len({tuple(drawn(5, seed=seed)) for seed in range(20)}) > 1


def test_it_is_not_the_first_n() -> None:
    assert any(drawn(3, seed=seed) != ["a0", "a1", "b0"] for seed in range(3))


def test_too_few_examples_and_repeated_ids_are_errors() -> None:
    with pytest.raises(HeirloomError, match="letters: 11 examples are asked for, but there are 10"):
        drawn(11)
    with pytest.raises(HeirloomError, match="letters: the id 'a0' occurs twice"):
        drawn(1, items=[*ITEMS, ("a0", "b")])


# Rows


def test_arrow_files_of_the_datasets_library(tmp_path: Path) -> None:
    path = tmp_path / "data.arrow"
    table = pyarrow.table({"q": ["one", "two"], "label": [0, 1]})
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as w:
        w.write_table(table)
    rows = read_rows(path)
    assert [row.values for row in rows] == [{"q": "one", "label": 0}, {"q": "two", "label": 1}]
    assert rows[1].where == f"{path}, row 2"


def test_a_broken_arrow_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.arrow").write_bytes(b"nothing")
    with pytest.raises(HeirloomError, match=r"data\.arrow cannot be read as \.arrow"):
        read_rows(tmp_path / "data.arrow")


def test_rows_say_where_they_stand(tmp_path: Path) -> None:
    lines, listed = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text('{"q": 1}\n\n{"q": 2}\n')
    listed.write_text('[{"q": 1}, {"q": 2}]')
    assert [row.where for row in read_rows(lines)] == [f"{lines}, line 1", f"{lines}, line 3"]
    assert [row.where for row in read_rows(listed)] == [f"{listed}, row 1", f"{listed}, row 2"]


def test_cells_of_csv_are_text_and_must_be_under_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(',q,n\n0,"one, two",\n\n1,NA,3\n')
    assert [row.values for row in read_rows(path)] == [
        {"": "0", "q": "one, two", "n": ""},
        {"": "1", "q": "NA", "n": "3"},
    ]
    path.write_text("q,n\n0,one,two\n")
    with pytest.raises(HeirloomError, match=r"a\.csv, row 1: 3 cells under 2 columns"):
        read_rows(path)


def test_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"data": [1]}')
    assert read_document(path) == {"data": [1]}
    path.write_text('{"data": ')
    with pytest.raises(HeirloomError, match=r"a\.json cannot be read as JSON"):
        read_document(path)
