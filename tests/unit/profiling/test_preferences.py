"""Pairs that humans judged: every format by hand and whole, and pairs of the study's own."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from heirloom.profiling.data.pool_pairs import form_pairs
from heirloom.profiling.data.preferences import Label, Pair, majority, read_pairs
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_jsonl

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "preferences"

PANDALM: Record = {
    "idx": 3,
    "motivation_app": "Grammarly",
    "cmp_key": "bloom-7b_llama-7b",
    "instruction": "Shorten this.",
    "input": "It is very, very late.",
    "response1": "It is late.",
    "response2": "",
    "annotator1": 1,
    "annotator2": 0,
    "annotator3": 2,
}
LLMBAR: Record = {"input": "Why?", "output_1": "Because.", "output_2": "No.", "label": 2}


def vote(a: str, b: str, winner: str, *, turn: int = 1, judge: Any = "expert_1") -> Record:
    """A row of MT-Bench: the model called x answers "x1" and then "x2"."""

    def talk(model: str) -> list[Record]:
        texts = ["Name a river.", f"{model}1", "And its sea?", f"{model}2"]
        roles = ["user", "assistant"] * 2
        return [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)]

    return {
        "question_id": 81,
        "model_a": a,
        "model_b": b,
        "winner": winner,
        "judge": judge,
        "turn": turn,
        "conversation_a": talk(a),
        "conversation_b": talk(b),
    }


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "pairs.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], None),
        (["second"], "second"),
        (["first", "tie", "first"], "first"),
        (["tie", "tie", "first"], "tie"),
        (["first", "second"], "tie"),  # no side has more
        (["first", "second", "tie"], "tie"),
        (["first", "tie"], "tie"),
    ],
)
def test_majority(labels: list[Label], expected: Label | None) -> None:
    assert majority(labels) == expected


# Formats


def test_pandalm(tmp_path: Path) -> None:
    # Six answers of the authors' file are JSON's true, one instruction is empty.
    odd = {**PANDALM, "instruction": "", "response2": True}
    first, second = read_pairs(written(tmp_path, PANDALM, odd), "panda")
    prompt = "Shorten this.\n\nIt is very, very late."
    labels = ("first", "tie", "second")
    assert first == Pair("panda/0", "panda", prompt, "It is late.", "", labels)
    assert (second.id, second.prompt, second.second) == (
        "panda/1",
        "It is very, very late.",
        "True",
    )


def test_llmbar(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, LLMBAR, {**LLMBAR, "label": 1}), "bar")
    assert pairs == [
        Pair("bar/0", "bar", "Why?", "Because.", "No.", ("second",)),
        Pair("bar/1", "bar", "Why?", "Because.", "No.", ("first",)),
    ]


def test_votes_of_mt_bench_on_the_same_answers_are_one_pair(tmp_path: Path) -> None:
    rows = [
        vote("ant", "bee", "model_a"),
        vote("bee", "ant", "model_a"),  # for bee, whose place among the two is the second
        vote("ant", "bee", "tie (inconsistent)"),
        vote("ant", "bee", "model_b", turn=2),
    ]
    first, second = read_pairs(written(tmp_path, *rows), "mt")
    assert first == Pair(
        "mt/81-ant-bee-1", "mt", "Name a river.", "ant1", "bee1", ("first", "second", "tie")
    )
    assert second == Pair(
        "mt/81-ant-bee-2",
        "mt",
        "Name a river.",
        "ant1\n\nHuman: And its sea?\n\nAssistant: ant2",
        "bee1\n\nHuman: And its sea?\n\nAssistant: bee2",
        ("second",),
    )


def test_hh_rlhf(tmp_path: Path) -> None:
    begin = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why?"
    rows = [
        {"chosen": f"{begin}\n\nAssistant: {n} good", "rejected": f"{begin}\n\nAssistant: {n} bad"}
        for n in range(40)
    ]
    rows.append(
        {"chosen": "\n\nHuman: Q\n\nAssistant: a", "rejected": "\n\nHuman: Q\n\nAssistant:"}
    )
    # They differ in a turn of the human: what is judged begins with the answer before it.
    other = begin.replace("Why", "How")
    rows.append({"chosen": f"{begin}\n\nAssistant: a", "rejected": f"{other}\n\nAssistant: b"})
    pairs = read_pairs(written(tmp_path, *rows), "hh")
    assert {p.prompt for p in pairs[:40]} == {"Human: Hi\n\nAssistant: Yes?\n\nHuman: Why?"}
    for number, pair in enumerate(pairs[:40]):
        chosen = pair.first if pair.labels == ("first",) else pair.second
        assert chosen == f"{number} good"
        assert {pair.first, pair.second} == {f"{number} good", f"{number} bad"}
    # The chosen one has no place of its own: of 40 draws, 10 to 30 with p > 0.998.
    assert 10 <= sum(p.labels == ("first",) for p in pairs[:40]) <= 30
    assert pairs[40].prompt == "Q" and {pairs[40].first, pairs[40].second} == {"a", ""}
    assert pairs[41].prompt == "Hi"
    assert {pairs[41].first, pairs[41].second} == {
        "Yes?\n\nHuman: Why?\n\nAssistant: a",
        "Yes?\n\nHuman: How?\n\nAssistant: b",
    }


def test_pairs_of_a_study(tmp_path: Path) -> None:
    row = {"id": "i-1", "prompt": "Why?", "first": "a", "second": "b", "teachers": ["x", "y"]}
    write_jsonl(tmp_path / "pairs.jsonl", [row, {**row, "id": "i-2", "labels": ["tie"]}])
    assert read_pairs(tmp_path / "pairs.jsonl", "pool/multi") == [
        Pair("pool/multi/i-1", "pool/multi", "Why?", "a", "b"),
        Pair("pool/multi/i-2", "pool/multi", "Why?", "a", "b", ("tie",)),
    ]


OTHER_ANSWERS = vote("a", "b", "tie") | {"conversation_b": vote("a", "c", "tie")["conversation_b"]}
OTHER_QUESTIONS = {
    "chosen": "\n\nHuman: a\n\nAssistant: b",
    "rejected": "\n\nHuman: c\n\nAssistant: b",
}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([PANDALM, {**PANDALM, "annotator2": 3}], "row 2: annotator2: Input should be 0, 1 or 2"),
        ([{**PANDALM, "instruction": " ", "input": ""}], "row 1: instruction and input are both"),
        ([LLMBAR, {**LLMBAR, "label": 0}], "row 2: label: Input should be 1 or 2"),
        ([LLMBAR, PANDALM], "row 2: output_1: Field required"),
        ([vote("a", "b", "model_c")], "row 1: winner: String should match"),
        ([vote("a", "b", "tie", judge=["gpt-4", "pair-v2"])], "Take the split `human`."),
        ([vote("a", "b", "tie", judge="gpt4-pair")], "Take the split `human`."),
        ([vote("a", "b", "tie"), OTHER_ANSWERS], "row 2: the conversations do not belong together"),
        ([OTHER_QUESTIONS], "row 1: the transcripts do not begin alike"),
        ([{"chosen": "b", "rejected": "c"}], "row 1: the transcripts do not begin alike"),
        ([{"A>B": 1}], "row 1: these are no preferences."),
        (["a"], "row 1: these are no preferences."),
        ([], "has no rows."),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path: Path, rows: list[Any], message: str) -> None:
    path = written(tmp_path, *rows)
    with pytest.raises(HeirloomError, match=re.escape(message)) as caught:
        read_pairs(path, "x")
    assert str(caught.value).startswith(str(path))


def test_an_id_that_occurs_twice(tmp_path: Path) -> None:
    row = {"id": "i-1", "prompt": "Why?", "first": "a", "second": "b"}
    with pytest.raises(HeirloomError, match=r"pair 'x/i-1' is there twice"):
        read_pairs(written(tmp_path, row, row), "x")


# File and counts of its labels; PandaLM's are those that its authors' README reports.
REAL = [
    ("pandalm_testset-v1.json.gz", {"first": 422, "second": 472, "tie": 105}),
    ("llmbar/LLMBar/Natural/dataset.json", {"first": 42, "second": 58}),
    ("llmbar/LLMBar/Adversarial/Neighbor/dataset.json", {"first": 75, "second": 59}),
    ("llmbar/LLMBar/Adversarial/GPTInst/dataset.json.gz", {"first": 45, "second": 47}),
    ("llmbar/LLMBar/Adversarial/GPTOut/dataset.json", {"first": 22, "second": 25}),
    ("llmbar/LLMBar/Adversarial/Manual/dataset.json", {"first": 22, "second": 24}),
    ("llmbar/Processed/FairEval/dataset.json", {"first": 41, "second": 25}),
    ("llmbar/Processed/LLMEval2/dataset.json.gz", {"first": 92, "second": 108}),
    ("llmbar/Processed/MT-Bench/dataset.json.gz", {"first": 101, "second": 99}),
    ("hh_rlhf_harmless_base_test.jsonl.gz", None),
]


@pytest.mark.parametrize(("file", "labels"), REAL)
def test_real_files_are_read_whole(file: str, labels: dict[str, int] | None) -> None:
    if not (SHARED / file).exists():
        pytest.skip(f"{SHARED / file} is not there")
    pairs = read_pairs(SHARED / file, "real")
    counts = Counter(majority(pair.labels) for pair in pairs)
    if labels is None:  # drawn: 2,312 fair draws lie within 1,156 +- 120 (five deviations)
        assert len(pairs) == 2312
        assert set(counts) == {"first", "second"} and abs(counts["first"] - 1156) < 120
        assert all(pair.prompt and "\n\nAssistant:" not in pair.first[-12:] for pair in pairs)
    else:
        assert counts == labels


# Pairs of the study's own


def answers(teacher: str, ids: list[str], samples: int = 1) -> list[Record]:
    return [
        {"prompt_id": i, "sample": s, "completion": f" {teacher} {i} {s}\n"}
        for i in ids
        for s in range(samples)
    ]


IDS = [f"p{number}" for number in range(60)]
PROMPTS = [{"id": i, "text": f"Question {i}"} for i in IDS]


def test_teachers_are_drawn_and_have_no_fixed_place() -> None:
    teachers = ["x", "y", "z"]
    made = form_pairs(PROMPTS, {t: answers(t, IDS) for t in teachers}, seed=3)
    assert [pair["id"] for pair in made] == IDS
    for pair in made:
        one, other = pair["teachers"]
        assert one != other
        assert pair["prompt"] == f"Question {pair['id']}"
        assert (pair["first"], pair["second"]) == (
            f"{one} {pair['id']} 0",
            f"{other} {pair['id']} 0",
        )
    # Six ordered choices, 10 of 60 each: below 2 or above 22 has p < 0.001.
    counts = Counter(tuple(pair["teachers"]) for pair in made)
    assert len(counts) == 6 and all(2 <= count <= 22 for count in counts.values())


def test_pairs_depend_on_seed_and_prompt_alone() -> None:
    pool = {t: answers(t, IDS) for t in ("x", "y")}
    made = form_pairs(PROMPTS, pool, seed=3)
    turned = {t: pool[t][::-1] for t in ("y", "x")}
    assert form_pairs(PROMPTS[::-1], turned, seed=3)[::-1] == made
    assert form_pairs(PROMPTS[:7], pool, seed=3) == made[:7]
    assert form_pairs(PROMPTS, pool, seed=4) != made


def test_a_pool_of_one_answers_twice() -> None:
    made = form_pairs(PROMPTS, {"x": answers("x", IDS, samples=2)}, seed=3)
    firsts = [pair["first"].split()[-1] for pair in made]
    assert all({p["first"][-1], p["second"][-1]} == {"0", "1"} for p in made)
    assert 15 <= firsts.count("0") <= 45  # of 60 fair draws; outside has p < 0.001


def test_empty_and_equal_answers_make_no_pair(caplog: pytest.LogCaptureFixture) -> None:
    pool = {t: answers(t, IDS[:4]) for t in ("x", "y")}
    pool["x"][0]["completion"] = " \n"
    pool["x"][1]["completion"] = pool["y"][1]["completion"].strip()
    made = form_pairs(PROMPTS[:4], pool, seed=3)
    assert [pair["id"] for pair in made] == ["p2", "p3"]
    assert "2 of 4 pairs are left out" in caplog.text
    with pytest.raises(HeirloomError, match="there is nothing to judge"):
        form_pairs(PROMPTS[:2], pool, seed=3)
