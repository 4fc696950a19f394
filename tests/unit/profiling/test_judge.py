"""The judge: options, verdicts by hand, both orders on a tiny model, and real labelled pairs."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from toy_study import add_benchmark, plan

from heirloom import profiling
from heirloom.analyse.results import load_results
from heirloom.analyse.tables.agreement import HUMAN, agreement
from heirloom.generate import completions
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import Task, summarise
from heirloom.profiling.data.preferences import Pair
from heirloom.profiling.engines import likelihood
from heirloom.profiling.engines.likelihood import Likelihood
from heirloom.profiling.judge import METRICS, JudgeOptions, measure, parse_reply, questions
from heirloom.report.figures import FIGURES
from heirloom.study.parse import parse_study
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_jsonl

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data" / "preferences"

PAIR = Pair("x/1", "x", "Why?", "Because it is so.", "No.", ("first", "first", "tie"))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name pairs to judge"),
        ({"examples": 3}, "name pairs to judge"),
        ({"pool": "multi"}, "`pool` and `prompts` belong together"),
        ({"data": ["a"], "prompts": "p"}, "`pool` and `prompts` belong together"),
        ({"data": ["a"], "examples": 0}, "greater than or equal to 1"),
        ({"data": ["a"], "verdict": "guess"}, "'likelihood' or 'generated'"),
    ],
)
def test_options_that_say_nothing(options: Record, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JudgeOptions.model_validate(options)


def test_names_in_a_study_are_checked() -> None:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    raw["profiling"]["judge"] = {"data": ["humans"], "pool": "mutli", "prompts": "instruction"}
    with pytest.raises(HeirloomError) as caught:
        parse_study(raw, root=ROOT)
    lines = [line[4:] for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert len(lines) == 3
    assert lines[0].startswith("profiling.judge.data[0]: 'humans' is not in data.")
    assert lines[1] == (
        "profiling.judge.pool: 'mutli' is not in pools or teachers. Did you mean 'multi'?"
    )
    assert lines[2].startswith("profiling.judge.prompts: 'instruction' is not in prompts.")
    for pool in ("multi", "gemma3"):
        raw["profiling"]["judge"] = {"pool": pool, "prompts": "instructions"}
        assert parse_study(raw, root=ROOT).profiling.judge.pool == pool


# Verdicts by hand


def test_both_orders_and_no_template_of_texts() -> None:
    odd = Pair("x/2", "x", "What is {a}?", "{b}", "{prompt}")
    assert questions(odd) == (
        "Question: What is {a}?\n\nAnswer A: {b}\n\nAnswer B: {prompt}\n\n"
        "Which answer is better? Reply with A or B.",
        "Question: What is {a}?\n\nAnswer A: {prompt}\n\nAnswer B: {b}\n\n"
        "Which answer is better? Reply with A or B.",
    )


def test_the_place_cancels_and_is_measured() -> None:
    # A judge that adds 3 to what stands first and prefers the first answer by 0.5.
    record = measure(PAIR, log_odds=(3.5, -2.5))
    assert record["preference"] == record["choice"] == "first"
    assert record["margin"] == 0.5
    assert record["consistent"] == 0.0  # the first one wins, wherever it comes from
    # First is shown first with p = s(3.5), second with p = 1 - s(-2.5) = s(2.5).
    assert record["position_bias"] == pytest.approx((sigmoid(3.5) + sigmoid(2.5)) / 2 - 0.5)
    assert record["prefers_longer"] == 1.0 and record["n_words"] == [4, 1]
    assert (record["majority"], record["decided"], record["labelled"]) == ("first", True, True)
    assert record["agrees"] == record["agrees_with_ties"] == 1.0


def test_a_consistent_judge_without_a_bias() -> None:
    record = measure(PAIR, log_odds=(-2.0, -2.0))
    assert record["preference"] == "second" and record["consistent"] == 1.0
    assert record["position_bias"] == pytest.approx(0.0)
    assert (record["prefers_longer"], record["agrees"]) == (0.0, 0.0)


def test_exact_ties_and_extremes() -> None:
    record = measure(PAIR, log_odds=(0.25, -0.25))
    assert (record["preference"], record["choice"], record["margin"]) == ("tie", None, 0.0)
    assert record["consistent"] == 0.0 and record["agrees"] is None
    assert record["agrees_with_ties"] == 0.0 and record["prefers_longer"] is None
    assert measure(PAIR, log_odds=(0.0, 0.0))["consistent"] == 0.0  # nobody wins
    assert measure(PAIR, log_odds=(2000.0, -2000.0))["position_bias"] == 0.5
    assert measure(PAIR, log_odds=(-2000.0, 2000.0))["position_bias"] == -0.5


@pytest.mark.parametrize(
    ("log_odds"), [(None, 1.0), (1.0, None), (None, None)], ids=["given", "swapped", "both"]
)
def test_a_pair_with_an_order_that_has_no_score_is_null(
    log_odds: tuple[float | None, float | None],
) -> None:
    record = measure(PAIR, log_odds=log_odds)
    for field in ("preference", "choice", "consistent", "position_bias", "prefers_longer"):
        assert record[field] is None
    assert record["margin"] is record["agrees"] is record["agrees_with_ties"] is None
    assert record["labelled"] and record["decided"]  # so that it is counted as missing


def test_pairs_without_labels_and_human_ties() -> None:
    unlabelled = measure(Pair("x/1", "x", "Why?", "a b", "c d"), log_odds=(1.0, 1.0))
    assert (unlabelled["majority"], unlabelled["labelled"], unlabelled["decided"]) == (
        *(None, False, False),
    )
    assert unlabelled["agrees"] is unlabelled["agrees_with_ties"] is None
    assert unlabelled["prefers_longer"] is None  # as many words
    tied = measure(Pair("x/1", "x", "Why?", "a", "b", ("tie",)), log_odds=(1.0, 1.0))
    assert (tied["majority"], tied["labelled"], tied["decided"]) == ("tie", True, False)
    assert tied["agrees"] is None and tied["agrees_with_ties"] == 0.0


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A", "A"),
        ("B.", "B"),
        (" **B**", "B"),
        ("(A)", "A"),
        ('"B"', "B"),
        ("A: it is longer", "A"),
        ("B\nBecause", "B"),
        ("Answer A", "A"),
        ("answer: B", "B"),
        ("The better answer is A.", "A"),
        ("The better answer is answer B", "B"),
        ("", None),
        ("a", None),
        ("C", None),
        ("AB", None),
        ("Both", None),
        ("A good question.", None),
        ("A and B", None),
        ("Answer A is better", None),
        ("I prefer A", None),
        # After the reasoning.
        ("<think>B is longer</think>\n\nA", "A"),
        ("B is longer\n</think>\n\nA", "A"),
        ("<think>A is longer, so A", None),
        # In markup.
        ("[[A]]", "A"),
        ("**Answer:** B", "B"),
        ("'B'", "B"),
        ("### A", "A"),
        ("\\boxed{A}", "A"),
        ("<answer>B</answer>", "B"),
        # Denied, or several.
        ("Answer: **A** is wrong, B", None),
        ("**A** is wrong", None),
        ("**A**: wrong", None),
        ("The better answer is not A", None),
        ("A, B", None),
        ("A/B", None),
        ("(A) or (B)", None),
        ("A\nB", None),
        ("A: no. B: yes", None),
        ("A. Paris\nB. London", None),
        ("Answer A: Paris\nAnswer B: London\n\nB", None),
        ("A\n\nBoth are fine, but my final answer is B.", None),
        # Explained.
        ("A\n\nAnswer A is more detailed than B.", "A"),
        ("A. It is more detailed.", "A"),
    ],
)
def test_replies(text: str, verdict: str | None) -> None:
    assert parse_reply(text) == verdict


def test_an_answer_that_is_repeated_is_no_verdict() -> None:
    """A model that repeats the answers, cut off before it says which."""
    shown = ("Paris is the capital.", "It is London.")
    assert parse_reply("A: Paris is", *shown) is None
    assert parse_reply("B. It is London", *shown) is None
    assert parse_reply("A. It is right.", *shown) == "A"
    pair = Pair("x/1", "x", "Why?", *shown)
    assert measure(pair, replies=("A: Paris is", "B"))["preference"] is None
    assert measure(pair, replies=("A", "A: It is London"))["preference"] is None


@pytest.mark.parametrize(
    ("replies", "preference", "consistent", "position_bias"),
    [
        (("A", "B"), "first", 1.0, 0.0),
        (("B", "A"), "second", 1.0, 0.0),
        (("A", "A."), "tie", 0.0, 0.5),
        (("B", "B"), "tie", 0.0, -0.5),
        (("A", "Neither"), None, None, None),
        (("", "B"), None, None, None),
    ],
)
def test_generated_verdicts(
    replies: tuple[str, str],
    preference: str | None,
    consistent: float | None,
    position_bias: float | None,
) -> None:
    record = measure(PAIR, replies=replies)
    assert record["preference"] == preference and record["consistent"] == consistent
    assert record["position_bias"] == position_bias
    assert record["margin"] is None and record["replies"] == list(replies)


def test_metrics_by_hand() -> None:
    def judged(number: int, labels: tuple[Any, ...], first: float, second: float | None) -> Record:
        pair = Pair(f"x/{number}", "x", "Why?", "one", "two words", labels)
        return measure(pair, log_odds=(first, second))

    records = [
        judged(1, ("first",), 1.0, 1.0),
        judged(2, ("first",), -1.0, -1.0),
        judged(3, ("second",), 2.0, -3.0),  # second by 0.5
        judged(4, ("second",), 1.0, None),
        judged(5, ("tie",), 1.0, 1.0),
        judged(6, (), -1.0, 1.0),  # a tie
    ]
    summary = summarise(records, METRICS, seed=1)
    values = {name: (e["value"], e["n"], e["n_missing"]) for name, e in summary.items()}
    assert values["consistency"] == (3 / 5, 5, 1)  # 1, 2 and 5
    assert values["prefers_longer"] == (2 / 4, 4, 2)  # 2 and 3, of 1, 2, 3 and 5
    assert values["margin"] == ((1 + 1 + 0.5 + 1 + 0) / 5, 5, 1)
    assert values["human_agreement"] == (2 / 3, 3, 1)  # 1 and 3, of 1 to 3; 4 is missing
    assert values["human_agreement_with_ties"] == (2 / 4, 4, 1)  # and 5, a tie of the humans
    # Choices f s s, majority f f s: 2/3 equal, chance 1/3 * 2/3 + 2/3 * 1/3 = 4/9.
    assert values["kappa_human"] == (pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9)), 3, 1)
    # Places: 0, 0, (s(2) + s(3) - 1) / 2, 0 and (s(-1) + s(-1) - 1) / 2, where s(-x) = 1 - s(x).
    bias = ((sigmoid(2) + sigmoid(3)) / 2 - 0.5 + sigmoid(-1) - 0.5) / 5
    assert values["position_bias"] == (pytest.approx(bias), 5, 1)
    unlabelled = summarise([records[5]], METRICS, seed=1)
    assert not any("human" in name for name in unlabelled)


# On the tiny model


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LanguageModel:
    """The tiny model with a longer context, which its rotary positions allow."""
    model = load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")
    model.network.config.max_position_embeddings = 1024
    return model


ROWS = [
    {"input": "Name a bird.", "output_1": "A robin.", "output_2": "A stone or a tree.", "label": 1},
    {"input": "Why?", "output_1": "", "output_2": "Because.", "label": 2},
    {"input": "Two rivers?", "output_1": "Rhine, Nile", "output_2": "Rhine, Nile", "label": 1},
]  # fmt: skip


def task(model: LanguageModel, folder: Path, pairs: Path | None = None, rows: Any = ROWS) -> Task:
    folder.mkdir(exist_ok=True)
    data = folder / "bar.json"
    data.write_text(json.dumps(rows), encoding="utf-8")
    return Task(model, [], "instruction", None, {"bar": data}, 17, folder / "work", pairs)


def run(task: Task, **options: Any) -> list[Record]:
    settings = JudgeOptions.model_validate({"data": ["bar"], **options})
    return profiling.BENCHMARKS.get("judge").run(task, settings)


@pytest.mark.parametrize("template", ["chat", "Q: {prompt}\nA:"])
def test_log_odds_are_those_of_plain_forward_passes(
    tiny: LanguageModel, tmp_path: Path, template: str
) -> None:
    model = LanguageModel("tiny", tiny.network, tiny.tokenizer, PromptTemplate(template))
    records = run(task(model, tmp_path))
    for record, row in zip(records, ROWS, strict=True):
        pair = Pair("", "", row["input"], row["output_1"], row["output_2"])
        expected = []
        for sign, question in zip((1, -1), questions(pair), strict=True):
            tokens = model.encode_prompt(question, "instruction")
            with torch.inference_mode():
                logits = model.network(torch.tensor([tokens])).logits[0, -1]
            a, b = (logits[model.tokenizer.convert_tokens_to_ids(x)].item() for x in "AB")
            expected.append(sign * (a - b))
        assert record["log_odds"] == pytest.approx(expected, abs=1e-4)
    # Equal answers: whatever the place does cancels.
    assert records[2]["margin"] == pytest.approx(0, abs=1e-4)
    assert [r["id"] for r in records] == ["bar/0", "bar/1", "bar/2"]


def test_a_letter_is_scored_behind_a_block_that_the_template_opens(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    opens = LanguageModel("t", tiny.network, tiny.tokenizer, PromptTemplate("Q: {prompt}\n<think>"))
    written = "Q: {prompt}\n<think>\n\n</think>\n\n"
    closed = LanguageModel("t", tiny.network, tiny.tokenizer, PromptTemplate(written))
    (found,) = run(task(opens, tmp_path / "a", rows=ROWS[:1]))
    assert found == run(task(closed, tmp_path / "b", rows=ROWS[:1]))[0]


def test_an_exchange_of_the_answers_exchanges_the_verdict(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    swapped = [{**r, "output_1": r["output_2"], "output_2": r["output_1"]} for r in ROWS[:2]]
    given = run(task(tiny, tmp_path, rows=ROWS[:2]))
    turned = run(task(tiny, tmp_path, rows=swapped))
    for one, other in zip(given, turned, strict=True):
        assert other["log_odds"] == pytest.approx([-x for x in one["log_odds"][::-1]], abs=1e-4)
        assert {one["preference"], other["preference"]} == {"first", "second"}
        assert one["position_bias"] == pytest.approx(other["position_bias"], abs=1e-5)
        assert one["consistent"] == other["consistent"]


def test_pairs_that_exceed_the_context_are_null_and_counted(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    long = {**ROWS[0], "output_2": "blue " * 1200}
    for verdict in ("likelihood", "generated"):
        records = run(task(tiny, tmp_path, rows=[ROWS[0], long]), verdict=verdict)
        assert records[1]["preference"] is None
    likely = run(task(tiny, tmp_path, rows=[ROWS[0], long]))
    assert likely[0]["preference"] is not None
    assert summarise(likely, METRICS, seed=1)["consistency"]["n_missing"] == 1


def test_generated_verdicts_are_the_models_own_words(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = run(task(tiny, tmp_path), verdict="generated")
    asked = [Prompt(str(i), questions(PAIR)[i]) for i in (0, 1)]
    request = Request(1, 8, Sampling(0.0), 17, batch_size=8)
    pair = {"input": PAIR.prompt, "output_1": PAIR.first, "output_2": PAIR.second, "label": 1}
    (own,) = run(task(tiny, tmp_path, rows=[pair]), verdict="generated")
    written = completions.generate(tiny, asked, request, work=tmp_path / "own")
    assert own["replies"] == [reply["completion"] for reply in written]
    assert all(len(record["replies"]) == 2 for record in records)

    def scripted(model: Any, prompts: Any, request: Any, *, work: Path) -> list[Record]:
        replies = {"bar/0/given": "A", "bar/0/swapped": "B.", "bar/1/given": "A"}
        return [{"prompt_id": p.id, "completion": replies.get(p.id, "?")} for p in prompts]

    monkeypatch.setattr(completions, "generate", scripted)
    records = run(task(tiny, tmp_path), verdict="generated")
    assert [r["preference"] for r in records] == ["first", None, None]
    assert summarise(records, METRICS, seed=1)["human_agreement"]["n_missing"] == 2


def test_sources_are_drawn_in_proportion_and_pools_added(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**ROWS[0], "output_1": f"{n}", "label": 1 + (n % 4 == 0)} for n in range(40)]
    own = {"id": "i-1", "prompt": "Why?", "first": "a", "second": "b", "teachers": ["x", "y"]}
    write_jsonl(tmp_path / "pairs.jsonl", [own])
    monkeypatch.setattr(
        likelihood,
        "score",
        lambda model, groups, *, work: [[Likelihood(-1.0, 1)] * 4] * len(groups),
    )
    settings = {"examples": 8, "pool": "multi", "prompts": "p"}
    records = run(task(tiny, tmp_path, tmp_path / "pairs.jsonl", rows), **settings)
    counts = Counter((record["source"], record["majority"]) for record in records)
    assert counts == {("bar", "first"): 6, ("bar", "second"): 2, ("pool/multi", None): 1}
    assert records[-1]["id"] == "pool/multi/i-1"
    assert all(record["preference"] == "tie" for record in records)
    with pytest.raises(HeirloomError, match="judge, bar: 41 examples are asked for"):
        run(task(tiny, tmp_path, rows=rows), examples=41)


# Real labels


@pytest.fixture
def real(tmp_path: Path) -> Callable[[str, int], Path]:
    """The first rows of a real file of preferences."""
    from heirloom.prompts.rows import read_rows

    def cut(name: str, size: int) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"{SHARED / name} is not there")
        path = tmp_path / f"{Path(name).parts[0]}.json"
        rows = [row.values for row in read_rows(SHARED / name)[:size]]
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path

    return cut


def judge_real(
    model: LanguageModel, real: Callable[[str, int], Path], work: Path, size: int
) -> list[Record]:
    data = {
        "pandalm": real("pandalm_testset-v1.json.gz", size),
        "llmbar": real("llmbar/LLMBar/Natural/dataset.json", size),
    }
    task = Task(model, [], "instruction", None, data, 17, work)
    return profiling.BENCHMARKS.get("judge").run(task, JudgeOptions(data=list(data)))


@pytest.fixture
def patient(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """The tiny model with a context that any real pair fits."""
    monkeypatch.setattr(tiny.network.config, "max_position_embeddings", 8192)
    return tiny


def test_real_pairs_on_the_tiny_model(
    patient: LanguageModel, tmp_path: Path, real: Callable[[str, int], Path]
) -> None:
    records = judge_real(patient, real, tmp_path / "work", 6)
    assert [len(r["labels"]) for r in records] == [3] * 6 + [1] * 6
    assert all(record["preference"] in ("first", "second") for record in records)
    summary = summarise(records, METRICS, seed=17)
    assert set(summary) == set(METRICS)
    decided = [r for r in records if r["majority"] != "tie"]
    assert summary["human_agreement"]["n"] == len(decided)
    equal = sum(r["preference"] == r["majority"] for r in decided)
    assert summary["human_agreement"]["value"] == pytest.approx(equal / len(decided))


def test_figure_3_from_real_labels(
    patient: LanguageModel,
    tmp_path: Path,
    own_study_folder: Path,
    real: Callable[[str, int], Path],
) -> None:
    records: dict[str, list[Record]] = {}
    for name in plan().models:
        # The same weights; what stands before the question makes judges that differ.
        template = PromptTemplate(f"{name}: {{prompt}}\n{name[-4:]}:")
        judge = LanguageModel(name, patient.network, patient.tokenizer, template)
        records[name] = judge_real(judge, real, tmp_path / "work", 2)
    add_benchmark(own_study_folder, "judge", records.__getitem__)
    results = load_results(own_study_folder)
    table = agreement(results)
    shares = table[table["other"] == HUMAN].set_index("judge")["agreement"]
    assert set(shares.index) == set(results.plan.models)
    for name, judged in records.items():
        decided = [r["preference"] == r["majority"] for r in judged if r["majority"] != "tie"]
        assert shares[name] == pytest.approx(100 * sum(decided) / len(decided))
    assert len(table[table["judge"].str.fullmatch(r"human \d")]) == 3  # PandaLM's annotators
    drawn = FIGURES.get("figure3").draw({"agreement": table}, results.plan)
    assert ">humans<" in drawn
    student = "alpha.length-multi.s1"
    assert f"length-multi {shares[student]:.0f} %" in drawn.partition("With humans: ")[2]


@pytest.mark.slow
def test_real_pairs_on_smollm2(
    smollm2: Path, tmp_path: Path, real: Callable[[str, int], Path]
) -> None:
    model = load_model(smollm2, name="smollm2", prompt_template=PromptTemplate(), dtype="float32")
    records = judge_real(model, real, tmp_path / "work", 8)
    summary = summarise(records, METRICS, seed=17)
    assert summary["human_agreement"]["n"] + summary["human_agreement"]["n_missing"] >= 8
    # Bigger than zero: the place alone does not decide, nor does it decide nothing.
    assert 0 < summary["margin"]["value"] < 20
    assert abs(summary["position_bias"]["value"]) < 0.5


def test_generated_verdicts_have_a_cost() -> None:
    cost = profiling.BENCHMARKS.get("judge").cost
    options = {"data": ["bar"], "examples": 10}
    likely = cost(JudgeOptions.model_validate(options), 0)
    generated = {**options, "verdict": "generated", "verdict_tokens": 500}
    assert likely.written == 0
    assert cost(JudgeOptions.model_validate(generated), 0).written == 2 * 10 * 500
    assert cost(JudgeOptions.model_validate(generated), 0).read == likely.read
