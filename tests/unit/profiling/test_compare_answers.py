"""Judges that compare the answers of two models, on the tiny model."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from heirloom.fetch.notes import Note, write_note
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling.assignment import Subject
from heirloom.profiling.compare_answers import (
    Answers,
    Contest,
    KnownVerdicts,
    compare_answers,
    read_answers,
    verdict,
)
from heirloom.profiling.data.preferences import Pair
from heirloom.profiling.judge import by_likelihood, measure
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_jsonl, write_json, write_jsonl
from heirloom.support.result_store import ResultStore

CHAT = {"template": "chat", "stop": ()}
PAIR = Pair("p", "answers", "Why?", "one", "two words")
GIVEN = {
    "ant": {"a": " A robin.", "b": "Because.", "c": None, "d": "word " * 300},
    "bee": {"a": "A stone or a tree.", "b": "Because. ", "c": "Rhine", "d": "No."},
    "cat": {"a": "A wren.", "b": "", "c": "Nile", "d": "Yes."},
}
ANSWERS = Answers({"a": "Name a bird.", "b": "Why?", "c": "A river?", "d": "Hm?"}, GIVEN)


def judge(folder: Path, model: Path, name: str = "ant") -> Subject:
    write_note(folder / f"{name}.json", Note("ant", model, "abc"))
    return Subject(name, folder / f"{name}.json", (), CHAT, "float32", "auto", "model")


def compared(
    folder: Path, model: Path, contests: Sequence[Contest], name: str = "ant"
) -> tuple[list[str], list[Record]]:
    """The contests that were known, and all verdicts; the store is one for all names."""
    subject, output = judge(folder, model, name), folder / f"{name}.jsonl"
    known = KnownVerdicts(ResultStore(folder / "store"), [__file__])
    work = folder / "work" / name
    return compare_answers(subject, contests, ANSWERS, output, work=work, known=known), read_jsonl(
        output
    )


@pytest.mark.parametrize(
    ("odds", "outcome", "preference"),
    [
        ((1.0, 2.0), "win", "win"),
        ((-1.0, -2.0), "loss", "loss"),
        ((3.0, -1.0), "tie", "win"),  # the orders disagree, their mean is 1
        ((1.0, -3.0), "tie", "loss"),
        ((1.0, -1.0), "tie", "tie"),
        ((None, 1.0), None, None),
    ],
)
def test_both_orders_have_to_agree(
    odds: tuple[float | None, float | None], outcome: str | None, preference: str | None
) -> None:
    found = verdict(measure(PAIR, log_odds=odds))
    assert (found["verdict"], found["preference"]) == (outcome, preference)
    assert found["log_odds"] == list(odds) and not found["equal"]


def test_verdicts_are_those_of_the_judge_benchmark(tiny_model: Path, tmp_path: Path) -> None:
    reused, records = compared(tmp_path, tiny_model, [Contest("ant", "bee")])
    assert reused == []
    assert [(r["model"], r["other"], r["id"]) for r in records] == [
        ("ant", "bee", prompt) for prompt in "abcd"
    ]
    model: LanguageModel = load_model(
        tiny_model, name="t", prompt_template=PromptTemplate(**CHAT), dtype="float32"
    )
    pair = Pair("a", "", "Name a bird.", "A robin.", "A stone or a tree.")
    (expected,) = by_likelihood(model, [pair], work=tmp_path / "alone")
    assert records[0]["log_odds"] == pytest.approx(expected["log_odds"], abs=1e-4)
    assert records[0]["verdict"] in ("win", "loss", "tie")
    # Equal but for white space: a tie that nobody was asked about.
    assert (records[1]["equal"], records[1]["verdict"]) == (True, "tie")
    assert records[1]["log_odds"] is None
    # No answer; and an answer that exceeds the context of 256 tokens: neither a tie nor a loss.
    assert records[2]["verdict"] is records[2]["equal"] is None
    assert records[3]["verdict"] is records[3]["preference"] is records[3]["consistent"] is None
    assert records[3]["equal"] is False


def test_another_contest_repeats_none(tiny_model: Path, tmp_path: Path) -> None:
    """Known verdicts need no model; they are the texts', whatever the models are called."""
    first = compared(tmp_path, tiny_model, [Contest("ant", "bee")])[1]
    empty = tmp_path / "empty"
    empty.mkdir()
    again = compared(tmp_path, empty, [Contest("ant", "bee")], "other")
    assert again == (["ant against bee"], first)
    # Equal answers alone need none either.
    same = compared(tmp_path, empty, [Contest("bee", "bee")], "equal")[1]
    assert [record["verdict"] for record in same] == ["tie"] * 4
    with pytest.raises(HeirloomError, match="could not be loaded"):
        compared(tmp_path, empty, [Contest("ant", "bee"), Contest("cat", "bee")], "third")
    reused, records = compared(
        tmp_path, tiny_model, [Contest("ant", "bee"), Contest("cat", "bee")], "fourth"
    )
    assert reused == ["ant against bee"] and records[:4] == first
    assert {record["model"] for record in records[4:]} == {"cat"}


def test_answers_are_read_from_text_profiles(tmp_path: Path) -> None:
    prompts, records = tmp_path / "eval.jsonl", tmp_path / "text.records.jsonl"
    write_jsonl(prompts, [{"id": str(n), "text": f"Prompt {n}"} for n in range(9)])
    rows = [{"id": str(n), "completion": None if n == 3 else f"{n}.", "x": 1} for n in range(9)]
    write_jsonl(records, rows)

    def read(examples: int | None, seed: int = 1) -> Answers:
        return read_answers(prompts, {"ant": records}, examples=examples, seed=seed)

    answers = read(None)
    assert answers.prompts["8"] == "Prompt 8" and len(answers.prompts) == 9
    assert answers.given["ant"]["8"] == "8." and answers.given["ant"]["3"] is None
    assert len(read(4).prompts) == 4
    assert list(read(4).prompts) == list(read(4).prompts) != list(read(4, seed=2).prompts)
    with pytest.raises(HeirloomError, match="compare_answers, eval prompts: 10 examples are asked"):
        read(10)


def test_a_judge_behind_an_endpoint_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "far.json", {"endpoint": {}})
    far = Subject("far", tmp_path / "far.json", (), CHAT, "float32", "auto", "model")
    known = KnownVerdicts(ResultStore(), [])
    with pytest.raises(HeirloomError, match="far is behind an endpoint"):
        compare_answers(far, [], ANSWERS, tmp_path / "o", work=tmp_path, known=known)
