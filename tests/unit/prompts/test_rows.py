"""Rows of prompt and data files: what real files hold, in every format, right or refused by row."""

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from heirloom.profiling.data.layouts import read_document
from heirloom.prompts.read import read_prompts
from heirloom.prompts.rows import read_rows
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


def texts(path: Path, **columns: str) -> list[str]:
    return [prompt["text"] for prompt in read_prompts(path, **{"text": "q", **columns})]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


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
    with pytest.raises(HeirloomError, match=r"data\.arrow cannot be read as arrow"):
        read_rows(tmp_path / "data.arrow")


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"q": pyarrow.array([], pyarrow.string())}), path)
    assert read_rows(path) == []


def test_rows_say_where_they_stand(tmp_path: Path) -> None:
    lines, listed = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text('{"q": 1}\n\n{"q": 2}\n')
    listed.write_text('[{"q": 1}, {"q": 2}]')
    assert [row.where for row in read_rows(lines)] == [f"{lines}, line 1", f"{lines}, line 3"]
    assert [row.where for row in read_rows(listed)] == [f"{listed}, row 1", f"{listed}, row 2"]


def test_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"data": [1]}')
    assert read_document(path) == {"data": [1]}
    path.write_text('{"data": ')
    with pytest.raises(HeirloomError, match=r"a\.json cannot be read as JSON"):
        read_document(path)
    path.write_text("[" * 100_000)
    with pytest.raises(HeirloomError, match=r"a\.json cannot be read as JSON"):
        read_document(path)


# Names, compression, encodings


@pytest.mark.parametrize("name", ["PROMPTS.TXT", "[a] b*.txt", ".hidden.txt", "p.TXT.GZ"])
def test_any_name_is_read(tmp_path: Path, name: str) -> None:
    content = b"One day\nTwo days\n"
    path = written(tmp_path / name, gzip.compress(content) if name.endswith("GZ") else content)
    assert texts(path) == ["One day", "Two days"]


def test_the_last_suffix_decides(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "data.txt.jsonl", '{"q": "x"}\n')) == ["x"]
    assert texts(written(tmp_path / "data.jsonl.txt", '{"q": "x"}\n')) == ['{"q": "x"}']


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("folder/inner.jsonl", content)
    return file.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "zst": lambda content: pyarrow.compress(content, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    packed = COMPRESS[suffix](b'{"q": "x"}\n' * 3 + b'{"q": "y"}\n')
    assert texts(written(tmp_path / f"p.jsonl.{suffix}", packed)) == ["x", "y"]
    with pytest.raises(HeirloomError, match=rf"half\.jsonl\.{suffix} cannot be read"):
        texts(written(tmp_path / f"half.jsonl.{suffix}", packed[: len(packed) // 2]))
    with pytest.raises(HeirloomError, match=rf"not\.jsonl\.{suffix} cannot be read"):
        texts(written(tmp_path / f"not.jsonl.{suffix}", b"plain"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", '{"q": "Schöne Grüße"}\n{"q": "🙂 zwei"}\n'),
        ("p.csv", "q,n\nSchöne Grüße,1\n🙂 zwei,2\n"),
        ("p.txt", "Schöne Grüße\n🙂 zwei\n"),
    ],
)
def test_other_encodings_of_unicode(tmp_path: Path, name: str, content: str, encoding: str) -> None:
    """With a byte order mark, and UTF-16 without one."""
    path = written(tmp_path / name, content.encode(encoding))
    assert texts(path) == ["Schöne Grüße", "🙂 zwei"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", '{"q": "x"}\n{"q": "café"}\n'),
        ("p.csv", "q\ncafé\n"),
        ("p.tsv", "q\tn\ncafé\t1\n"),
        ("p.txt", "x\ncafé\n"),
    ],
)
def test_another_encoding_is_named_with_its_line(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path / name, content.encode("cp1252"))
    with pytest.raises(HeirloomError, match=rf"{name}, line 2: the byte 0xe9 .*WINDOWS-1252"):
        read_rows(path)


def test_damaged_utf_16_is_named(tmp_path: Path) -> None:
    # 0xd800 is the first half of a surrogate pair, without a second one.
    path = written(tmp_path / "p.txt", "x\ny".encode("utf-16") + b"\x00\xd8")
    with pytest.raises(HeirloomError, match=r"p\.txt, line \d: this is not UTF-16"):
        read_rows(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv", "p.tsv", "p.txt"])
def test_every_line_end(tmp_path: Path, name: str, end: str) -> None:
    rows = {
        "p.jsonl": ['{"q": "x"}', '{"q": "y"}'],
        "p.json": ["[", '{"q": "x"},', '{"q": "y"}', "]"],
        "p.csv": ["q,n", "x,1", "y,2"],
        "p.tsv": ["q\tn", "x\t1", "y\t2"],
        "p.txt": ["x", "y"],
    }
    assert texts(written(tmp_path / name, end.join(rows[name]) + end)) == ["x", "y"]


# Rows that are odd, and what is told of them


def test_halves_of_surrogate_pairs_are_replaced_and_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    r"""\ud83d\ude42 is one emoji, and each half of it alone is none."""
    path = tmp_path / "p.jsonl"
    rows = [
        r'{"q": "half \ud83d"}',
        r'{"q": "\ud83d\ude42"}',
        r'{"q": "\ude42", "\udc00": ["\ud8ff"]}',
    ]
    written(path, "\n".join(rows))
    assert texts(path) == ["half \ufffd", "🙂", "\ufffd"]
    assert f"in 2 rows: {path}, line 1; {path}, line 3" in caplog.text
    written(tmp_path / "p.json", "[" + ",".join(rows) + "]")
    assert texts(tmp_path / "p.json") == ["half \ufffd", "🙂", "\ufffd"]


def test_a_backslash_before_a_u_is_no_surrogate(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", r'{"q": "C:\\ud83d"}')
    assert texts(path) == [r"C:\ud83d"]


@pytest.mark.parametrize("row", ["[" * 100_000, '{"q":' * 100_000, '{"q": ' + "[" * 99_999])
def test_deep_nesting_is_refused_by_row(tmp_path: Path, row: str) -> None:
    path = written(tmp_path / "p.jsonl", '{"q": "x"}\n' + row)
    with pytest.raises(HeirloomError, match=r"p\.jsonl, line 2: .*nested too deeply"):
        read_rows(path)


def test_numbers_of_too_many_digits_are_refused_by_row(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", '{"q": "x"}\n{"q": ' + "1" * 5_000 + "}")
    with pytest.raises(HeirloomError, match=r"p\.jsonl, line 2: not valid JSON"):
        read_rows(path)


def test_nothing_is_guessed_about_json(tmp_path: Path) -> None:
    """Arrow would read dates as times, and rows of different types not at all."""
    cells = ["2020-01-01", "2020-01-02T10:00:00Z", "null", "007", 12345678901234567890123, 2.5]
    path = written(tmp_path / "p.jsonl", "\n".join(json.dumps({"q": c}) for c in cells))
    assert texts(path) == list(map(str, cells))


@pytest.mark.parametrize(
    ("cells", "typed"),
    [
        (["007", 7], [7, 7]),  # ids
        (["null", {"a": 1}], [None, {"a": 1}]),  # texts that look like JSON
        (['{"a": 1}', ["b"]], [{"a": 1}, ["b"]]),
        ([0.1234567890123456, "x"], [pytest.approx(0.123456789, abs=1e-12), "x"]),
    ],
)
def test_the_library_would_change_json(tmp_path: Path, cells: list[Any], typed: list[Any]) -> None:
    """The reason to decode JSON here: once `datasets` keeps these cells, it can read the rest."""
    path = written(tmp_path / "p.jsonl", as_lines([{"q": cell} for cell in cells]))
    assert [row.values["q"] for row in read_rows(path)] == cells
    library = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["q"] for row in library] == typed


def test_json_needs_no_import_of_the_library(tmp_path: Path) -> None:
    """It costs every job that reads prompts a second of processor time."""
    path = written(tmp_path / "p.jsonl", '{"q": "x"}\n')
    code = (
        "import sys; from heirloom.prompts.read import read_prompts; "
        "read_prompts(sys.argv[1], text='q'); "
        "import heirloom.fetch.artefacts; "
        "print({'datasets', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code, str(path)], text=True)
    assert printed == "set()\n"


def test_a_folder_holds_the_rows_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    written(folder / "train-2.csv", "q,n\nthree,3\n")
    written(folder / "train-1.jsonl", '{"q": "one"}\n{"q": "two"}\n')
    written(folder / "more/rest.txt", "zero\n")
    assert [row.values for row in read_rows(folder)] == [
        *("zero", {"q": "one"}, {"q": "two"}, {"q": "three", "n": "3"})
    ]
    written(folder / "LICENSE", "free")
    with pytest.raises(HeirloomError, match=r"LICENSE: rows are read from \.jsonl"):
        read_rows(folder)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_table_by_columns(tmp_path: Path, indent: int | None) -> None:
    """As pandas writes it, whose labels need not begin at 0; Dolly-200 is one."""
    table = pd.DataFrame({"q": ["b", "a"], "n": [1, None]}, index=[6001, 6000])
    path = tmp_path / "p.jsonl"
    table.to_json(path, indent=indent)
    assert [(row.where, row.values) for row in read_rows(path)] == [
        (f"{path}, row 1", {"q": "b", "n": 1.0}),
        (f"{path}, row 2", {"q": "a", "n": None}),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"q": {"text": "x"}, "r": {"text": "y"}},  # objects, but no row labels
        {"q": {"0": "x"}, "r": {"1": "y"}},  # columns of different rows
        {"q": {"0": "x"}, "r": "y"},
        {"q": {}},
    ],
)
def test_a_row_of_objects_is_no_table(tmp_path: Path, row: dict[str, Any]) -> None:
    path = written(tmp_path / "p.jsonl", json.dumps(row))
    assert [found.values for found in read_rows(path)] == [row]


def test_a_column_of_several_types_is_text(tmp_path: Path) -> None:
    path = written(tmp_path / "p.json", json.dumps([{"q": 1}, {"q": "1.50"}, {"q": None}]))
    assert texts(path) == ["1", "1.50"]


def test_dates_and_numbers_of_parquet_are_text(tmp_path: Path) -> None:
    import datetime

    path = tmp_path / "p.parquet"
    table = pyarrow.table({"q": ["x"], "id": [datetime.date(2020, 1, 2)]})
    pyarrow.parquet.write_table(table, path)
    assert read_prompts(path, text="q", id="id") == [{"id": "2020-01-02", "text": "x"}]


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv", "p.txt", "p.parquet"])
def test_null_characters_are_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "p.parquet":
        pyarrow.parquet.write_table(pyarrow.table({"q": ["a\0b"]}), path)
    else:
        contents = {"p.jsonl": r'{"q": "a\u0000b"}', "p.csv": "q\na\0b\n", "p.txt": "a\0b\n"}
        written(path, contents[name])
    assert texts(path) == ["a\0b"]


# Tables


def test_cells_of_csv_are_text_and_must_be_under_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(',q,n\n0,"one, two",\n\n1,NA,3\n')
    assert [row.values for row in read_rows(path)] == [
        {"column 1": "0", "q": "one, two", "n": ""},
        {"column 1": "1", "q": "NA", "n": "3"},
    ]
    path.write_text("q,n\n0,one,two\n")
    with pytest.raises(HeirloomError, match=r"a\.csv, row 1: 3 cells under 2 columns.* in line 2"):
        read_rows(path)
    # pandas takes the first column for an index if every row is too long.
    path.write_text("q\nx,1\ny,2\n")
    with pytest.raises(HeirloomError, match=r"a\.csv, row 1: 2 cells under 1 columns"):
        read_rows(path)


def test_types_of_csv_are_not_guessed(tmp_path: Path) -> None:
    cells = ["007", "NA", "null", "nan", "None", "True", "1e5", "2020-01-01", "1.50", "#N/A"]
    path = written(tmp_path / "p.csv", "q\n" + "\n".join(cells))
    assert texts(path) == cells


@pytest.mark.parametrize(
    ("name", "content", "row", "line"),
    [
        ("p.csv", 'q,n\na,1\n"never closed,2\nb,3\nc,4\n', 2, 3),
        # Closed by the next quote there is, in another row.
        ("p.csv", 'q,n\na,1\n"never closed,2\nthe "best" one,3\n', 2, 3),
        ("p.csv", 'q,n\n"two\nlines",1\n"never closed\nb,3\n', 2, 4),
        ("p.tsv", 'q\tn\n"never closed\t2\nb\t3\n', 1, 2),
        ("p.csv", '"q,n\na,1\n', 1, 1),
    ],
)
def test_a_quote_that_is_not_closed_is_refused_by_row(
    tmp_path: Path, name: str, content: str, row: int, line: int
) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(HeirloomError, match=rf"{name}, row {row} \(line {line}\): a quote is"):
        read_rows(path)


def test_quotes_inside_a_cell_are_text(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", 'q\nthe "best" one\n"a ""quoted"" one"\n5\' 4"\n')
    assert texts(path) == ['the "best" one', 'a "quoted" one', "5' 4\""]


def test_a_huge_cell(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", f"q,n\n{'x' * 140_000},1\n")
    assert [len(text) for text in texts(path)] == [140_000]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator(tmp_path: Path, separator: str) -> None:
    """The header says so; the cells may have commas in them."""
    rows = [["id", "q"], ["a", "one, two; three"], ["b", "four"]]
    with (tmp_path / "p.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    assert texts(tmp_path / "p.csv") == ["one, two; three", "four"]


def test_a_semicolon_in_the_text_is_no_separator(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", "q\none; two\n")
    assert texts(path) == ["one; two"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", "q,q\na,b\n")
    with pytest.raises(HeirloomError, match=r"p\.csv: two columns are called 'q'"):
        read_rows(path)


# Columns that hold no text


CONVERSATION = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
@pytest.mark.parametrize(
    ("column", "turns"),
    [
        ("messages", CONVERSATION),
        ("conversations", [{"from": "human", "value": "Hi"}]),
    ],
)
def test_conversations_are_not_read_and_this_is_said(
    tmp_path: Path, name: str, column: str, turns: list[Record]
) -> None:
    path, row = tmp_path / name, {"topic": "greeting", column: turns}
    if name == "p.jsonl":
        written(path, json.dumps(row))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    message = rf"{name}, (line|row) 1: .*'{column}' holds conversations .*not read"
    with pytest.raises(HeirloomError, match=message):
        read_prompts(path, text="instruction")  # the default, which is not there
    with pytest.raises(HeirloomError, match=message):
        read_prompts(path, text=column)


def test_a_list_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"q": [["a", "b"], ["c"]]}), path)
    with pytest.raises(HeirloomError, match=r"p\.parquet, row 1: column 'q' .* a list of 2"):
        texts(path)


def test_an_empty_id_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", '{"id": "a", "q": "x"}\n{"id": null, "q": "y"}')
    with pytest.raises(
        HeirloomError, match=r"p\.jsonl, line 2: the id in the column 'id' is empty"
    ):
        read_prompts(path, text="q", id="id")


# Prompts that look the same


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("a word", "a\u200b word"),
        ("a word", "\ufeffa word\u200d"),
        ("hyphen", "hy\u00adphen"),
        ("\u2764", "\u2764\ufe0f"),
        ("left", "\u2066left\u2069"),
    ],
)
def test_prompts_that_look_the_same_are_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: str, second: str
) -> None:
    path = tmp_path / "p.jsonl"
    for one, two in [(first, second), (second, first)]:
        caplog.clear()
        written(path, json.dumps({"q": one}) + "\n" + json.dumps({"q": two}))
        assert texts(path) == [one]  # as it is written
        assert "0 empty and 1 repeated" in caplog.text
        assert f"{path}, line 2 looks like {path}, line 1" in caplog.text


def test_prompts_that_differ_for_the_eye_are_two(tmp_path: Path) -> None:
    path = written(tmp_path / "p.txt", "résumé\nresume\n\uff21\nA\nx\u00b2\nx2\n")
    assert len(texts(path)) == 6


def test_a_prompt_that_shows_nothing_is_empty(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", '{"q": "\u200b \ufeff"}\n{"q": "x"}')
    assert texts(path) == ["x"]


# Any prompts, in every format


PIECES = [
    *(
        "word",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        ",",
        ";",
        "|",
        '"',
        '""',
        "'",
        "\\",
        "\\n",
        "{",
        "[",
        "}",
    ),
    *("NA", "null", "007", "1e5", "2020-01-01", "#", "\0", "\x1b", "\u00e9", "e\u0301", "\u4e2d"),
    *(
        "🙂",
        "\u2028",
        "\u0085",
        "\u200b",
        "\ufeff",
        "<|im_end|>",
        "=1+1",
        "%s",
        "{prompt}",
        "\u05d0",
    ),
]


def any_prompts(rng: random.Random) -> list[str]:
    """Prompts that are distinct for the eye and begin and end in a word, so that none is cut."""
    found = []
    for number in range(30):
        middle = "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 8)))
        found.append(f"p{number}{middle}{number}q")
    return found


def write_csv(path: Path, rows: list[Record], separator: str = ",", **options: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator, **options)
        writer.writeheader()
        writer.writerows(rows)


def as_lines(rows: list[Record]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


FORMATS: dict[str, Callable[[Path, list[Record]], Any]] = {
    "p.jsonl": lambda path, rows: written(path, as_lines(rows)),
    "p.json": lambda path, rows: written(path, json.dumps(rows, indent=1)),
    "p.csv": write_csv,
    "all-quoted.csv": lambda path, rows: write_csv(path, rows, quoting=csv.QUOTE_ALL),
    "semicolons.csv": lambda path, rows: write_csv(path, rows, ";"),
    "p.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "p.parquet": lambda path, rows: pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows), path
    ),
    "utf16.jsonl": lambda path, rows: written(path, as_lines(rows).encode("utf-16")),
    "p.jsonl.xz": lambda path, rows: written(path, lzma.compress(as_lines(rows).encode())),
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_prompts_come_back_from_every_format(tmp_path: Path, name: str) -> None:
    for seed in range(3 if "json" not in name else 15):
        prompts = any_prompts(random.Random(seed))
        rows = [{"n": f"0{number}", "q": prompt} for number, prompt in enumerate(prompts)]
        FORMATS[name](tmp_path / name, rows)
        found = read_prompts(tmp_path / name, text="q", id="n")
        assert [p["text"] for p in found] == prompts, seed
        assert [p["id"] for p in found] == [row["n"] for row in rows], seed


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_give_prompts_or_one_message(tmp_path: Path, name: str) -> None:
    """Bytes are cut out, put in and changed: no other exception, and no lone surrogate, results."""
    logging.disable(logging.WARNING)
    refused = 0
    try:
        for seed in range(5 if "json" not in name else 40):
            rng = random.Random(seed)
            rows = [{"n": str(n), "q": prompt} for n, prompt in enumerate(any_prompts(rng))]
            path = tmp_path / name
            FORMATS[name](path, rows)
            content = bytearray(path.read_bytes())
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(content))
                damage = rng.choice([b"", b'"', b"\xff", b"\0", b"\\ud83d", b"[" * 5_000, b"\r"])
                content[at : at + rng.randint(0, 4)] = damage
            path.write_bytes(content)
            try:
                for prompt in read_prompts(path, text="q", id="n"):
                    prompt["text"].encode()
            except HeirloomError as error:
                assert name in str(error)
                refused += 1
    finally:
        logging.disable(logging.NOTSET)
    assert refused > 0
