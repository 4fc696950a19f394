"""Profiling: summaries of records, and the text profile of a real run."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from heirloom import profiling
from heirloom.generate.completions import generate
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.objectives import load
from heirloom.objectives.scoring import bind, score
from heirloom.profiling import Metric, Task, summarise
from heirloom.profiling.text import TextOptions
from heirloom.statistics.resampling import Array, Columns
from heirloom.support.files import Record

# summarise


def test_a_summary_is_the_mean_of_what_is_there() -> None:
    records: list[Record] = [
        {"id": "a", "emt": 0.5, "length": 3.0},
        {"id": "b", "emt": None, "length": 4.0},
        {"id": "c", "emt": 0.25, "length": 8.0},
    ]
    metrics = {"emt": Metric("score, 0 to 1", "lower"), "length": Metric("words")}
    summary = summarise(records, metrics, seed=1)
    assert list(summary) == ["emt", "length"]
    low, high = summary["emt"].pop("interval")
    # Of two values, a resample has the mean 0.25, 0.375 or 0.5, a quarter of them each end.
    assert (low, high) == (0.25, 0.5)
    assert summary["emt"] == {
        "value": 0.375,
        "unit": "score, 0 to 1",
        "direction": "lower",
        "n": 2,
        "n_missing": 1,
    }
    assert summary["length"]["value"] == 5.0  # (3 + 4 + 8) / 3
    assert (summary["length"]["n"], summary["length"]["n_missing"]) == (3, 0)
    assert summary["length"]["direction"] is None


@pytest.mark.parametrize(
    ("values", "value", "n", "n_missing"),
    [([None, None], None, 0, 2), ([], None, 0, 0), ([0.5, None], 0.5, 1, 1)],
)
def test_a_summary_of_too_little_has_no_interval(
    values: list[float | None], value: float | None, n: int, n_missing: int
) -> None:
    records = [{"id": str(i), "emt": v} for i, v in enumerate(values)]
    assert summarise(records, {"emt": Metric("score")}, seed=1) == {
        "emt": {
            "value": value,
            "unit": "score",
            "direction": None,
            "n": n,
            "n_missing": n_missing,
            "interval": None,
        }
    }


def test_a_summary_of_a_statistic_of_several_fields_and_of_categories() -> None:
    def rate(columns: Columns, weights: Array) -> Array:
        return np.asarray((weights @ columns["hits"]) / (weights @ columns["tries"]))

    records: list[Record] = [
        {"id": "a", "kind": "x", "hits": 1, "tries": 2},
        {"id": "b", "kind": "y", "hits": 3, "tries": 4},
        {"id": "c", "kind": "y", "hits": None, "tries": 4},
        {"id": "d", "kind": "x", "tries": 4},
    ]
    fields = ("hits", "tries")
    metrics = {
        "rate": Metric("share", "higher", fields, rate),
        "rate.x": Metric("share", "higher", fields, rate, {"kind": "x"}),
        "rate.z": Metric("share", "higher", fields, rate, {"kind": "z"}),
        "tries": Metric("tries"),
    }
    summary = summarise(records, metrics, seed=1)
    assert list(summary) == ["rate", "rate.x", "tries"]  # no record is of the category z
    # (1 + 3) / (2 + 4), neither 1/2 nor 3/4 nor their mean; c and d have no hits.
    assert summary["rate"]["value"] == pytest.approx(2 / 3)
    assert summary["rate"]["interval"] == [0.5, 0.75]
    assert (summary["rate"]["n"], summary["rate"]["n_missing"]) == (2, 2)
    # Records of another category are not missing.
    assert (summary["rate.x"]["n"], summary["rate.x"]["n_missing"]) == (1, 1)
    assert (summary["rate.x"]["value"], summary["rate.x"]["interval"]) == (0.5, None)
    assert summary["tries"]["value"] == 3.5


def test_what_is_not_compared_has_a_value_and_no_interval() -> None:
    calls: list[int] = []

    def slow(columns: Columns, weights: Array) -> Array:
        calls.append(len(weights))
        return np.asarray(weights @ columns["x"])

    records: list[Record] = [{"id": "a", "x": 1.0}, {"id": "b", "x": 2.0}]
    metric = Metric("probability", None, ("x",), slow, compared=False)
    summary = summarise(records, {"p": metric}, seed=1)
    assert (summary["p"]["value"], summary["p"]["interval"]) == (3.0, None)
    assert sum(calls) <= 2  # the value, and no 10,000 resamples of a slow statistic


# On the tiny model


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


PROMPTS = [Prompt("a", "Name a bird."), Prompt("b", "Why?"), Prompt("c", "List two rivers.")]


def task(model: LanguageModel, work: Path) -> Task:
    return Task(model, PROMPTS, "instruction", None, {}, 17, work)


def test_the_text_profile(tiny: LanguageModel, tmp_path: Path) -> None:
    settings = TextOptions(prompts="p", max_new_tokens=20, mtld_min_words=0)
    benchmark = profiling.BENCHMARKS.get("text")
    records = benchmark.run(task(tiny, tmp_path / "work"), settings)
    answers = generate(tiny, PROMPTS, Request(1, 20, Sampling(0.0), 17), work=tmp_path / "own")
    assert [r["id"] for r in records] == ["a", "b", "c"]
    for record, answer in zip(records, answers, strict=True):
        assert set(record) == {"id", "completion", "finish_reason", *benchmark.metrics}
        assert record["completion"] == answer["completion"]
        assert record["finish_reason"] == answer["finish_reason"]
        assert record["tokens"] == answer["n_tokens"]
        assert record["truncated"] == (1.0 if answer["finish_reason"] == "length" else 0.0)
        # As the objective scores it, so that what students learn is what is measured.
        assert [record["length"]] == score("length", [answer["completion"]])
        assert [record["mtld"]] == score("mtld", [answer["completion"]])
    summary = summarise(records, benchmark.metrics, seed=17)
    assert set(summary) == set(benchmark.metrics)
    assert summary["tokens"]["value"] == sum(a["n_tokens"] for a in answers) / 3


def test_short_answers_have_no_mtld(tiny: LanguageModel, tmp_path: Path) -> None:
    run = profiling.BENCHMARKS.get("text").run
    measured = {}
    for least in (0, 10_000):
        settings = TextOptions(prompts="p", max_new_tokens=20, mtld_min_words=least)
        measured[least] = run(task(tiny, tmp_path / str(least)), settings)
    assert any(record["mtld"] is not None for record in measured[0])
    assert all(record["mtld"] is None for record in measured[10_000])
    assert [{**r, "mtld": None} for r in measured[0]] == measured[10_000]


def test_the_text_profile_can_be_sampled(tiny: LanguageModel, tmp_path: Path) -> None:
    run = profiling.BENCHMARKS.get("text").run
    greedy, sampled = (
        run(
            task(tiny, tmp_path / str(temperature)),
            TextOptions(prompts="p", max_new_tokens=20, temperature=temperature),
        )
        for temperature in (0.0, 1.0)
    )
    assert all(a["completion"] != b["completion"] for a, b in zip(greedy, sampled, strict=True))


def test_several_answers_of_a_prompt_are_one_record_of_their_means(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    benchmark = profiling.BENCHMARKS.get("text")
    prompts = [*PROMPTS, Prompt("long", "why " * 300)]  # the context is 256 tokens
    asked = Task(tiny, prompts, "instruction", None, {}, 17, tmp_path / "work")
    # Answers of the tiny model have 2 to 7 words: some of 5 or more, which have an MTLD, not all.
    settings = TextOptions(
        prompts="p", max_new_tokens=20, temperature=0.9, top_k=40, top_p=0.8, samples=3,
        mtld_min_words=5,
    )  # fmt: skip
    records = benchmark.run(asked, settings)
    assert [record["id"] for record in records] == ["a", "b", "c", "long"]
    own = generate(tiny, prompts, Request(3, 20, Sampling(0.9, 40, 0.8), 17), work=tmp_path / "own")
    for n, record in enumerate(records):
        texts = [answer["completion"] for answer in own[3 * n : 3 * n + 3]]
        assert [answer["completion"] for answer in record["answers"]] == texts
        assert record["completion"] == texts[0]
        assert set(record) == {"id", "completion", "finish_reason", "answers", *benchmark.metrics}
        for metric in benchmark.metrics:
            known = [a[metric] for a in record["answers"] if a[metric] is not None]
            assert record[metric] == (sum(known) / len(known) if known else None)
    # An answer without MTLD is left out of its prompt's mean; a prompt without any is missing.
    missing = [sum(answer["mtld"] is None for answer in r["answers"]) for r in records]
    assert any(0 < n < 3 for n in missing)
    summary = summarise(records, benchmark.metrics, seed=17)
    assert (summary["length"]["n"], summary["length"]["n_missing"]) == (3, 1)
    # The first answer is the only one of a profile with a single sample.
    single = benchmark.run(
        Task(tiny, prompts, "instruction", None, {}, 17, tmp_path / "single"),
        settings.model_copy(update={"samples": 1}),
    )
    assert single == [{"id": r["id"], **r["answers"][0]} for r in records]


def test_answers_are_scored_by_every_metric_of_the_study(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    benchmark = profiling.BENCHMARKS.get("text")
    names = benchmark.scored_with([], ["length", "loudness", "profanity"])
    assert names == ["loudness", "profanity"]  # length is measured anyway

    def loudness(texts: list[str]) -> list[float | None]:
        """Letters, of a text of 20 or more."""
        return [float(len(text)) if len(text) >= 20 else None for text in texts]

    scorers = {"loudness": loudness, "profanity": bind("profanity", {"window_words": 5})}
    asked = Task(tiny, PROMPTS, "instruction", None, {}, 17, tmp_path / "work", scorers=scorers)
    settings = TextOptions(prompts="p", max_new_tokens=20, temperature=0.9, samples=2)
    records = benchmark.run(asked, settings)
    texts = [answer["completion"] for record in records for answer in record["answers"]]
    own = loudness(texts)
    assert [a["score.loudness"] for r in records for a in r["answers"]] == own
    assert None in own and any(own)
    for n, record in enumerate(records):
        known = [score for score in own[2 * n : 2 * n + 2] if score is not None]
        assert record["score.loudness"] == (sum(known) / len(known) if known else None)
    measures = benchmark.measures({"loudness": None, "profanity": load("profanity")})
    assert list(measures) == [*benchmark.metrics, "loudness", "profanity"]
    profane = measures["profanity"]
    assert (profane.unit, profane.direction, profane.scorer) == (
        *("probability", "lower", "profanity"),
    )
    summary = summarise(records, measures, seed=17)
    scored = [r["score.profanity"] for r in records if r["score.profanity"] is not None]
    assert summary["profanity"]["value"] == pytest.approx(sum(scored) / len(scored))
    missing = [r["score.loudness"] for r in records].count(None)
    assert summary["loudness"]["n_missing"] == missing


def test_several_greedy_answers_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"samples: 2 greedy answers .* temperature above 0"):
        TextOptions(prompts="p", samples=2)
    assert TextOptions(prompts="p", samples=2, temperature=0.6).samples == 2


def test_a_prompt_that_does_not_fit_has_no_text_to_measure(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    """The context is 256 tokens. An answer that was never asked for is missing, not 0 words."""
    prompts = [PROMPTS[0], Prompt("long", "why " * 300)]
    settings = TextOptions(prompts="p", max_new_tokens=20)
    records = profiling.BENCHMARKS.get("text").run(
        Task(tiny, prompts, "instruction", None, {}, 17, tmp_path / "work"), settings
    )
    assert (records[1]["completion"], records[1]["finish_reason"]) == (None, "too_long")
    summary = summarise(records, profiling.BENCHMARKS.get("text").metrics, seed=17)
    assert summary["length"]["n_missing"] == 1
    assert summary["tokens"]["value"] == records[0]["tokens"]
