"""Prompts: every format they come in, what is refused, the split, and the set that is shipped."""

import gzip
import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from heirloom.prompts.read import read_prompts, read_source
from heirloom.prompts.settings import Prompts, Reading
from heirloom.prompts.split import split_prompts
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_jsonl

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"

ALPACA = [
    {"instruction": "Add.", "input": "2 and 3", "output": "5"},
    {"instruction": "Name a bird.", "input": "", "output": "Wren"},
    {"instruction": 'Say "hi", then\ngo.', "input": "", "output": "hi"},
]
ALPACA_TEXTS = ["Add.\n\n2 and 3", "Name a bird.", 'Say "hi", then\ngo.']


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def texts(prompts: list[Record]) -> list[str]:
    return [prompt["text"] for prompt in prompts]


WRITERS: dict[str, Callable[[Path], Any]] = {
    "list.json": lambda p: p.write_text(json.dumps(ALPACA, indent=4)),
    "lines.json": lambda p: p.write_text(lines(ALPACA)),  # as RealToxicityPrompts' test set
    "lines.jsonl": lambda p: p.write_text(lines(ALPACA) + "\n\n"),
    "UPPER.JSONL": lambda p: p.write_text(lines(ALPACA)),
    "table.csv": lambda p: pd.DataFrame(ALPACA).to_csv(p, index=False),
    "table.tsv": lambda p: pd.DataFrame(ALPACA).to_csv(p, index=False, sep="\t"),
    "table.parquet": lambda p: pd.DataFrame(ALPACA).to_parquet(p),
    "list.json.gz": lambda p: p.write_bytes(gzip.compress(json.dumps(ALPACA).encode())),
    "lines.jsonl.gz": lambda p: p.write_bytes(gzip.compress(lines(ALPACA).encode())),
    "table.csv.gz": lambda p: pd.DataFrame(ALPACA).to_csv(p, index=False, compression="gzip"),
    "v1.2.table.csv": lambda p: pd.DataFrame(ALPACA).to_csv(p, index=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_prompts(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    prompts = read_prompts(path, text="instruction", input="input")
    assert texts(prompts) == ALPACA_TEXTS
    # The id is the beginning of the text's SHA-256.
    assert prompts[1]["id"] == hashlib.sha256(b"Name a bird.").hexdigest()[:12]


def test_parquet_in_gzip(tmp_path: Path) -> None:
    plain = tmp_path / "table.parquet"
    pd.DataFrame(ALPACA).to_parquet(plain)
    packed = tmp_path / "table.parquet.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert texts(read_prompts(packed, text="instruction", input="input")) == ALPACA_TEXTS


def test_text_files_have_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("  One day \n\nTwo, {braces}\n[not JSON]", encoding="utf-8")
    expected = ["One day", "Two, {braces}", "[not JSON]"]
    assert texts(read_prompts(path, text="unused")) == expected
    packed = tmp_path / "prompts.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert texts(read_prompts(packed, text="unused")) == expected


def test_a_dot_reaches_into_nested_columns(tmp_path: Path) -> None:
    rows = [
        {"prompt": {"text": "So I said", "toxicity": None}, "meta": {"source": {"id": 41}}},
        {"prompt": {"text": "Then she", "toxicity": 0.2}, "meta": {"source": {"id": 7}}},
    ]
    path = tmp_path / "rtp.jsonl"
    path.write_text(lines(rows))
    expected = [{"id": "41", "text": "So I said"}, {"id": "7", "text": "Then she"}]
    assert read_prompts(path, text="prompt.text", id="meta.source.id") == expected
    table = tmp_path / "rtp.parquet"
    pd.DataFrame(rows).to_parquet(table)
    assert read_prompts(table, text="prompt.text", id="meta.source.id") == expected


def test_dolly_context_is_put_below(tmp_path: Path) -> None:
    path = tmp_path / "dolly.jsonl"
    path.write_text(
        lines(
            [
                {"instruction": " When? ", "context": " In 1905. ", "category": "closed_qa"},
                {"instruction": "Who?", "context": None, "category": "open_qa"},
            ]
        )
    )
    assert texts(read_prompts(path, text="instruction", input="context")) == [
        "When?\n\nIn 1905.",
        "Who?",
    ]


# Rows and template


def reading(**fields: Any) -> Reading:
    return Reading.model_validate({"columns": {"text": "q"}, **fields})


def test_rows_are_counted_in_the_file(tmp_path: Path) -> None:
    """Rows 2 to 4 counted from 0, of which one is empty and one repeats another."""
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"q": text} for text in ("a", "b", "c", "", "c", "d")]))
    assert texts(read_source(path, reading(rows={"skip": 2, "take": 3}))) == ["c"]
    assert texts(read_source(path, reading(rows={"skip": 4}))) == ["c", "d"]
    assert texts(read_source(path, reading(rows={"take": 1}))) == ["a"]
    assert texts(read_source(path, reading())) == ["a", "b", "c", "d"]
    with pytest.raises(HeirloomError, match=r"p\.jsonl has 6 rows, .* leaves out 6: none is left"):
        read_source(path, reading(rows={"skip": 6}))


def test_a_template_wraps_every_prompt_and_moves_no_id(tmp_path: Path) -> None:
    """Braces of the prompts and of the template stay as they are."""
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"q": "So {prompt} I"}, {"q": "Then"}]))
    bare = read_source(path, reading())
    wrapped = read_source(path, reading(template="Go {on}:\n{prompt}"))
    assert texts(wrapped) == ["Go {on}:\nSo {prompt} I", "Go {on}:\nThen"]
    assert [p["id"] for p in wrapped] == [p["id"] for p in bare]


def test_a_template_makes_instructions_that_hold_the_prompt() -> None:
    sizes = {"sources": [{"path": "p"}], "train": 0, "eval": 1, "max_new_tokens": 1}
    with pytest.raises(ValueError, match=r"write \{prompt\} where the prompt belongs"):
        Prompts.model_validate({**sizes, "template": "Go on."})
    with pytest.raises(ValueError, match="the format is continuation: leave one of them out"):
        Prompts.model_validate({**sizes, "template": "Go: {prompt}", "format": "continuation"})
    assert Prompts.model_validate({**sizes, "format": "continuation"}).template == "{prompt}"


def test_dolly_200(tmp_path: Path) -> None:
    """The last 100 of 200 rows are the prompts that the paper's toolkit tests on, all different."""
    path = SHARED / "dolly200/dolly_eval_eng.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real data are not at {path}")
    columns = {"columns": {"text": "inputs", "id": "id"}}
    every = read_source(path, Reading.model_validate(columns))
    tested = read_source(path, Reading.model_validate({**columns, "rows": {"skip": 100}}))
    assert [p["id"] for p in every] == [str(n) for n in range(1, 201)]
    assert tested == every[100:]


def test_empty_and_repeated_prompts_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p.jsonl"
    rows = [("a", "x"), ("b", " "), ("c", "y"), ("d", "x "), ("e", None), ("f", "x")]
    path.write_text(lines([{"key": key, "q": text} for key, text in rows]))
    # b and e are empty; d and f repeat a.
    assert read_prompts(path, text="q", id="key") == [
        {"id": "a", "text": "x"},
        {"id": "c", "text": "y"},
    ]
    assert "2 empty and 2 repeated" in caplog.text


def test_ids_must_be_distinct(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"id": 1, "q": "x"}, {"id": 2, "q": "y"}, {"id": 1, "q": "z"}]))
    with pytest.raises(HeirloomError, match=r"p\.jsonl, line 3: the id '1' occurs twice"):
        read_prompts(path, text="q", id="id")


def test_csv_words_that_look_missing_are_text(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("q\nNA\nnull\n007\n")
    assert texts(read_prompts(path, text="q")) == ["NA", "null", "007"]


# What real files hold and a careless reader trips over


def test_line_separators_inside_a_prompt(tmp_path: Path) -> None:
    """JSON leaves U+2028, U+0085 and others unescaped, and only a line feed ends a line."""
    prompt = "one\u2028two\u0085three\u2029four"
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"q": prompt}, {"q": "next"}]), encoding="utf-8")
    assert texts(read_prompts(path, text="q")) == [prompt, "next"]


def test_line_separators_inside_a_line_of_text(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("one\u2028two\nnext\n", encoding="utf-8")
    assert texts(read_prompts(path, text="q")) == ["one\u2028two", "next"]


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.json", "p.txt"])
def test_byte_order_mark(tmp_path: Path, name: str) -> None:
    """Windows editors put one in front."""
    content = {"p.jsonl": '{"q": "x"}', "p.json": '[{"q": "x"}]', "p.csv": "q\nx", "p.txt": "x"}
    path = tmp_path / name
    path.write_text(content[name], encoding="utf-8-sig")
    assert texts(read_prompts(path, text="q")) == ["x"]


def test_parquet_nulls_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pd.DataFrame({"q": ["x", "y", None], "more": ["z", None, None]}).to_parquet(path)
    assert texts(read_prompts(path, text="q", input="more")) == ["x\n\nz", "y"]


def test_short_csv_rows_have_empty_ends(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("q,more\nx,z\ny\n")
    assert texts(read_prompts(path, text="q", input="more")) == ["x\n\nz", "y"]


@pytest.mark.parametrize("value", [{"text": "So I said"}, ["So I said"], [], {}])
def test_a_column_must_hold_text(tmp_path: Path, value: Any) -> None:
    """RealToxicityPrompts with `text: prompt` instead of `prompt.text`."""
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"prompt": value}]))
    with pytest.raises(HeirloomError, match=r"p\.jsonl, line 1: .*'prompt'"):
        read_prompts(path, text="prompt")


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p.csv.gz"])
def test_a_damaged_gzip_file(tmp_path: Path, name: str) -> None:
    content = bytearray(gzip.compress(lines([{"q": f"prompt {i}"} for i in range(500)]).encode()))
    content[20:30] = b"\xff" * 10
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(HeirloomError, match="cannot be read"):
        read_prompts(path, text="q")


# What is refused


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", "", r"p\.jsonl has no prompt.*'q'"),
        ("p.json", "[]", r"p\.json has no prompt"),
        ("p.txt", "\n \n", r"p\.txt has no prompt"),
        ("p.csv", "", r"p\.csv has no prompt"),
        ("p.csv", "q\n", r"p\.csv has no prompt"),
        ("p.parquet", "no parquet", r"p\.parquet cannot be read as parquet"),
        ("p.json", "[{]", r"p\.json: not valid JSON"),
        ("p.json", '[{"q": "x"},\n {]', r"p\.json, line 2: not valid JSON"),
        ("p.json", '{\n"data": [\n{"q": "x"}]}', r"p\.json is one JSON object \(with data\)"),
        ("p.jsonl", '{"q": "x"}\n\n{"q"\n', r"p\.jsonl, line 3: not valid JSON"),
        ("p.jsonl", '{"q": "x"}\n{"r": 1, "s": 2}', r"line 2: no column 'q' \(there are: r, s\)"),
        ("p.jsonl", "5", r"line 1: no column 'q' \(there are: none, it is no object\)"),
        ("p.csv", "a,b\nx,y", r"row 1: no column 'q' \(there are: a, b\)"),
        ("p.docx", "q", r"p\.docx: rows are read from \.jsonl"),
        ("p", "q", r"rows are read from \.jsonl"),
        ("p.txt.gz", "not gzip", r"p\.txt\.gz cannot be read: Not a gzipped file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(HeirloomError, match=message):
        read_prompts(path, text="q")


def test_other_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match=r"gone\.jsonl cannot be read"):
        read_prompts(tmp_path / "gone.jsonl", text="q")
    latin = tmp_path / "latin.txt"
    latin.write_bytes("café".encode("latin-1"))
    with pytest.raises(HeirloomError, match=r"latin\.txt, line 1: the byte 0xe9 is not UTF-8"):
        read_prompts(latin, text="q")
    cut = tmp_path / "cut.txt.gz"
    cut.write_bytes(gzip.compress(b"word " * 1_000)[:-20])
    with pytest.raises(HeirloomError, match=r"cut\.txt\.gz cannot be read"):
        read_prompts(cut, text="q")


def test_a_nested_column_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"prompt": {"txt": "x"}}]))
    with pytest.raises(HeirloomError, match=r"no column 'prompt\.text' .*Set `columns`"):
        read_prompts(path, text="prompt.text")


# The split


def numbered(n: int) -> list[Record]:
    return [{"id": f"p{i}", "text": f"Prompt {i}"} for i in range(n)]


def ids(prompts: list[Record]) -> list[str]:
    return [prompt["id"] for prompt in prompts]


def test_the_split_is_by_hash() -> None:
    train, evaluation = split_prompts(numbered(10), train=4, eval=3, seed=17, name="p")
    digests = {f"p{i}": hashlib.sha256(f"17/p{i}".encode()).hexdigest() for i in range(10)}
    ordered = sorted(digests, key=lambda key: digests[key])
    assert ids(evaluation) == ordered[:3]
    assert ids(train) == [ordered[9], ordered[8], ordered[7], ordered[6]]


def test_splits_are_disjoint_and_do_not_depend_on_the_order() -> None:
    prompts = numbered(200)
    train, evaluation = split_prompts(prompts, train=120, eval=80, seed=1, name="p")
    assert sorted(ids(train) + ids(evaluation)) == sorted(ids(prompts))
    random.Random(0).shuffle(prompts)
    assert split_prompts(prompts, train=120, eval=80, seed=1, name="p") == (train, evaluation)
    other, _ = split_prompts(prompts, train=120, eval=80, seed=2, name="p")
    # Two random halves of 120 in 200 share 72 on average, with a deviation of 3.
    assert len(set(ids(other)) & set(ids(train))) < 90


def test_a_larger_split_moves_no_other_prompt() -> None:
    small, evaluation = split_prompts(numbered(100), train=20, eval=30, seed=1, name="p")
    large, same = split_prompts(numbered(100), train=60, eval=30, seed=1, name="p")
    assert same == evaluation
    assert large[:20] == small
    unmoved, more = split_prompts(numbered(100), train=20, eval=40, seed=1, name="p")
    assert unmoved == small
    assert more[:30] == evaluation


def test_prompts_that_are_added_move_few() -> None:
    """A new prompt takes one place at most: what it pushes out is one, and the order stays."""
    _, before = split_prompts(numbered(100), train=20, eval=30, seed=1, name="p")
    _, after = split_prompts(numbered(101), train=20, eval=30, seed=1, name="p")
    assert len(set(ids(before)) - set(ids(after))) <= 1
    kept = [key for key in ids(before) if key in set(ids(after))]
    assert [key for key in ids(after) if key in set(kept)] == kept


def test_too_few_prompts() -> None:
    message = r"prompts\.mine asks for 8 train and 3 eval prompts, .* has 10 distinct"
    with pytest.raises(HeirloomError, match=message):
        split_prompts(numbered(10), train=8, eval=3, seed=1, name="mine")
    train, evaluation = split_prompts(numbered(10), train=8, eval=2, seed=1, name="mine")
    assert (len(train), len(evaluation)) == (8, 2)


def test_all_prompts_may_be_for_evaluation() -> None:
    train, evaluation = split_prompts(numbered(10), train=0, eval=10, seed=1, name="mine")
    assert (train, sorted(ids(evaluation))) == ([], sorted(ids(numbered(10))))
    with pytest.raises(HeirloomError, match=r"prompts\.mine asks for 11 eval prompts, but"):
        split_prompts(numbered(10), train=0, eval=11, seed=1, name="mine")


# The prompts that are shipped


@pytest.fixture(scope="module")
def shipped() -> list[Record]:
    return read_jsonl(ROOT / "resources/prompts/instructions.jsonl")


def test_shipped_prompts_are_many_and_of_many_kinds(shipped: list[Record]) -> None:
    assert len(shipped) >= 600
    assert all(list(row) == ["id", "task", "instruction", "input"] for row in shipped)
    tasks = Counter(row["task"] for row in shipped)
    assert len(tasks) >= 12
    assert max(tasks.values()) < 0.15 * len(shipped)
    assert len({row["id"] for row in shipped}) == len(shipped)
    assert all(re.fullmatch(rf"{row['task']}-\d{{3}}", row["id"]) for row in shipped)
    assert all(row["instruction"].strip() == row["instruction"] != "" for row in shipped)


def test_no_shipped_prompt_is_left_out(shipped: list[Record]) -> None:
    prompts = read_prompts(
        ROOT / "resources/prompts/instructions.jsonl", text="instruction", input="input", id="id"
    )
    assert ids(prompts) == ids(shipped)


def trigrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}


def test_no_two_shipped_prompts_are_alike(shipped: list[Record]) -> None:
    """Three-word sequences: the share that two prompts have in common stays below 0.3."""
    grams = {row["id"]: trigrams(f"{row['instruction']} {row['input']}") for row in shipped}
    having = defaultdict(list)
    for key, own in grams.items():
        for gram in own:
            having[gram].append(key)
    common = Counter(pair for keys in having.values() for pair in combinations(keys, 2))
    alike = {
        pair: n / len(grams[pair[0]] | grams[pair[1]])
        for pair, n in common.items()
        if n / len(grams[pair[0]] | grams[pair[1]]) >= 0.3
    }
    assert alike == {}


# The real files, where they are


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("name", ["alpaca_5000.json.gz", "alpaca_random_9k.json.gz"])
def test_real_alpaca(name: str) -> None:
    path = real(f"alpaca/{name}")
    rows = json.loads(gzip.decompress(path.read_bytes()))
    prompts = read_prompts(path, text="instruction", input="input")
    expected = dict.fromkeys(
        "\n\n".join(part.strip() for part in (row["instruction"], row["input"]) if part.strip())
        for row in rows
    )
    assert texts(prompts) == list(expected)
    assert len(prompts) > 0.95 * len(rows) > 4_000


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("decodingtrust_toxic.jsonl.gz", "prompt.text"),
        ("decodingtrust_nontoxic.jsonl.gz", "prompt.text"),
        ("quark_val.jsonl.gz", "prompt.text"),
        ("rtp_toxic_test_set.json", "prompt"),
    ],
)
def test_real_toxicity_prompts(name: str, column: str) -> None:
    path = real(f"rtp/{name}")
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    rows = [json.loads(line) for line in content.splitlines()]  # of bytes: at line feeds alone
    found = [row["prompt"]["text"] if "." in column else row["prompt"] for row in rows]
    expected = dict.fromkeys(text.strip() for text in found if text.strip())
    assert texts(read_prompts(path, text=column)) == list(expected)
    assert len(expected) >= 290
