"""The toxicity benchmark: every number by hand, on what a tiny model writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from heirloom import profiling
from heirloom.generate.completions import generate
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.objectives.scoring import bind
from heirloom.profiling import Task, summarise
from heirloom.profiling.toxicity import ATTRIBUTES, METRICS, ToxicityOptions
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

Scorer = Callable[..., list[float | None]]

PROMPTS = [Prompt("a", "Name a bird."), Prompt("b", "Why?"), Prompt("c", "List two rivers.")]


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


def run(
    model: LanguageModel,
    work: Path,
    scorer: Scorer,
    prompts: list[Prompt] = PROMPTS,
    **options: object,
) -> list[Record]:
    """The records for three continuations of four tokens per prompt."""
    settings = ToxicityOptions.model_validate(
        {"prompts": "p", "metric": "m", "continuations": 3, "max_new_tokens": 4, **options}
    )
    task = Task(model, prompts, "instruction", scorer, {}, 17, work)
    return profiling.BENCHMARKS.get("toxicity").run(task, settings)


def fixed(**scores: list[float | None]) -> Scorer:
    """A scorer that gives the texts, whatever they are, the scores listed for the attribute."""

    def scorer(texts: list[str], attribute: str = "toxicity") -> list[float | None]:
        return scores[attribute][: len(texts)]

    return scorer


# Three prompts of three continuations: mixed, one scored, none scored.
TOXICITY = [0.25, None, 0.5, None, 0.375, None, None, None, None]


def test_emt_probability_mean_and_severity_by_hand(tiny: LanguageModel, tmp_path: Path) -> None:
    records = run(tiny, tmp_path / "work", fixed(toxicity=TOXICITY))
    assert [{k: v for k, v in r.items() if k != "continuations"} for r in records] == [
        # The maximum is 0.5, which is at the threshold and so toxic; (0.25 + 0.5) / 2 = 0.375.
        {
            "id": "a",
            "emt": 0.5,
            "toxicity_probability": 1.0,
            "mean_toxicity": 0.375,
            "n_toxic": 1,
            "toxic_score_sum": 0.5,
            "n_unscored": 1,
        },
        {
            "id": "b",
            "emt": 0.375,
            "toxicity_probability": 0.0,
            "mean_toxicity": 0.375,
            "n_toxic": 0,
            "toxic_score_sum": 0,
            "n_unscored": 2,
        },
        {
            "id": "c",
            "emt": None,
            "toxicity_probability": None,
            "mean_toxicity": None,
            "n_toxic": None,
            "toxic_score_sum": None,
            "n_unscored": 3,
        },
    ]
    assert [[c["score"] for c in r["continuations"]] for r in records] == [
        TOXICITY[:3],
        TOXICITY[3:6],
        TOXICITY[6:],
    ]
    summary = summarise(records, METRICS, seed=1)
    # No attribute was asked for, so none is reported, not even as missing.
    assert list(summary) == ["emt", "toxicity_probability", "mean_toxicity", "severity"]
    assert summary["emt"]["value"] == 0.4375  # (0.5 + 0.375) / 2
    assert summary["toxicity_probability"]["value"] == 0.5
    assert summary["severity"]["value"] == 0.5
    assert {m["n_missing"] for m in summary.values()} == {1}
    assert {m["direction"] for m in summary.values()} == {"lower"}


def test_severity_pools_the_toxic_continuations(tiny: LanguageModel, tmp_path: Path) -> None:
    # Toxic: 0.5 and 0.75 of the first prompt, 1.0 of the second, none of the third.
    # (0.5 + 0.75 + 1) / 3 = 0.75; a mean over prompts would be (0.625 + 1) / 2 = 0.8125.
    scores: list[float | None] = [0.5, 0.75, 0.25, 1.0, 0.0, 0.0, 0.25, 0.25, 0.25]
    records = run(tiny, tmp_path / "work", fixed(toxicity=scores))
    severity = summarise(records, METRICS, seed=1)["severity"]
    assert (severity["value"], severity["n"], severity["n_missing"]) == (0.75, 3, 0)


def test_nothing_toxic_has_no_severity(tiny: LanguageModel, tmp_path: Path) -> None:
    records = run(tiny, tmp_path / "work", lambda texts: [0.25] * len(texts))
    summary = summarise(records, METRICS, seed=1)
    assert summary["severity"]["value"] is None
    assert summary["severity"]["interval"] is None
    assert summary["toxicity_probability"]["value"] == 0.0


def test_the_threshold_is_an_option(tiny: LanguageModel, tmp_path: Path) -> None:
    scorer = fixed(toxicity=[0.3] * 9, insult=[0.3] * 9)
    for threshold, expected, n_toxic in ((0.3, 1.0, 3), (0.31, 0.0, 0)):
        records = run(tiny, tmp_path / "work", scorer, threshold=threshold, attributes=["insult"])
        assert [r["toxicity_probability"] for r in records] == [expected] * 3
        assert [r["toxicity_probability.insult"] for r in records] == [expected] * 3
        assert [r["n_toxic"] for r in records] == [n_toxic] * 3


def test_every_attribute_has_a_maximum_of_its_own(tiny: LanguageModel, tmp_path: Path) -> None:
    scorer = fixed(
        toxicity=[0.5, 0.25, 0.0, 0.0, 0.0, 0.0, None, None, None],
        insult=[0.125, 0.75, 0.0, 0.25, 0.0, 0.0, None, None, None],
        threat=[0.0, 0.0, 0.0, 0.0, 0.0, None, None, None, None],
    )
    records = run(tiny, tmp_path / "work", scorer, attributes=["insult", "threat"])
    # The first prompt's worst insult is another continuation than its most toxic one.
    assert [r["emt"] for r in records] == [0.5, 0.0, None]
    assert [r["emt.insult"] for r in records] == [0.75, 0.25, None]
    assert [r["toxicity_probability.insult"] for r in records] == [1.0, 0.0, None]
    assert [r["emt.threat"] for r in records] == [0.0, 0.0, None]
    assert [{k: v for k, v in c.items() if k != "text"} for c in records[0]["continuations"]] == [
        {"score": 0.5, "insult": 0.125, "threat": 0.0},
        {"score": 0.25, "insult": 0.75, "threat": 0.0},
        {"score": 0.0, "insult": 0.0, "threat": 0.0},
    ]
    summary = summarise(records, METRICS, seed=1)
    assert summary["emt.insult"]["value"] == 0.5  # (0.75 + 0.25) / 2
    assert summary["toxicity_probability.insult"]["value"] == 0.5
    assert summary["emt.insult"]["n_missing"] == 1
    assert summary["emt.threat"]["value"] == 0.0
    assert not {name for name in summary if name.endswith("obscene")}


def test_every_further_metric_has_numbers_of_its_own(tiny: LanguageModel, tmp_path: Path) -> None:
    scores: list[float | None] = [0.25, 0.75, 0.5, *[None] * 3, 0.0, 0.0, None]
    settings = ToxicityOptions.model_validate(
        {"prompts": "p", "metrics": ["m", "rude"], "continuations": 3, "max_new_tokens": 4}
    )
    plain, rude = fixed(toxicity=TOXICITY), fixed(toxicity=scores)
    scorers = {"m": plain, "rude": rude}
    benchmark = profiling.BENCHMARKS.get("toxicity")
    task = Task(tiny, PROMPTS, "instruction", plain, {}, 17, tmp_path / "work", scorers=scorers)
    records = benchmark.run(task, settings)
    alone = run(tiny, tmp_path / "work", plain)
    ours = [{k: v for k, v in r.items() if ".by_rude" not in k} for r in records]
    for record in ours:
        for continuation in record["continuations"]:
            del continuation["score.by_rude"]
    assert ours == alone
    assert [r["emt.by_rude"] for r in records] == [0.75, None, 0.0]
    assert [r["toxicity_probability.by_rude"] for r in records] == [1.0, None, 0.0]
    assert [r["mean_toxicity.by_rude"] for r in records] == [0.5, None, 0.0]
    assert [r["n_unscored.by_rude"] for r in records] == [0, 3, 1]
    measures = benchmark.measures({"m": None, "rude": None})
    summary = summarise(records, measures, seed=1)
    kinds = ["emt", "toxicity_probability", "mean_toxicity", "severity"]
    assert list(summary) == [*kinds, *(f"{kind}.by_rude" for kind in kinds)]
    assert summary["emt.by_rude"]["value"] == 0.375  # (0.75 + 0) / 2
    assert summary["emt.by_rude"]["n_missing"] == 1
    # Two are toxic, both of the first prompt: (0.75 + 0.5) / 2; by the first metric 0.5 alone.
    assert summary["severity.by_rude"]["value"] == 0.625
    assert summary["severity"]["value"] == 0.5
    assert (measures["emt"].scorer, measures["emt.by_rude"].scorer) == ("m", "rude")


@pytest.mark.parametrize("named", [{}, {"metric": "m", "metrics": ["n"]}, {"metrics": ["n", "n"]}])
def test_metric_and_metrics_exclude_each_other(named: Record) -> None:
    with pytest.raises(ValidationError, match=r"give metric, or metrics|n is named twice"):
        ToxicityOptions.model_validate({"prompts": "p", **named})


def test_a_scorer_without_attributes_is_refused_before_anything_is_written(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    scorer = bind("profanity", {})
    with pytest.raises(
        HeirloomError, match=r"profiling\.toxicity\.attributes, insult: .*no option 'attribute'"
    ):
        run(tiny, tmp_path / "work", scorer, attributes=["insult"])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_attribute_is_refused_with_the_study_file() -> None:
    with pytest.raises(ValidationError, match=r"severe_toxicity.*sexual_explicit"):
        ToxicityOptions.model_validate({"prompts": "p", "metric": "m", "attributes": ["rude"]})


def test_every_attribute_has_its_metrics() -> None:
    plain = {"emt", "toxicity_probability", "mean_toxicity", "severity"}
    named = {f"{kind}.{a}" for kind in ("emt", "toxicity_probability") for a in ATTRIBUTES}
    assert set(METRICS) == plain | named
    assert len(ATTRIBUTES) == 6


def test_continuations_are_the_sampled_ones(tiny: LanguageModel, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def scorer(texts: list[str], **options: Any) -> list[float | None]:
        seen.append(texts)
        return [float(len(text)) / 100 for text in texts]

    records = run(tiny, tmp_path / "work", scorer, temperature=0.8, top_p=0.7)

    def sampled(top_k: int) -> list[list[str]]:
        request = Request(3, 4, Sampling(0.8, top_k, 0.7), 17)
        written = generate(tiny, PROMPTS, request, work=tmp_path / f"own-{top_k}")
        return [[record["completion"] for record in written]]

    assert seen == sampled(top_k=0)
    assert [c for r in records for c in r["continuations"]] == [
        {"text": text, "score": len(text) / 100} for text in seen[0]
    ]
    # From 0.7 of the nucleus at most; without a limit the tiny model writes otherwise.
    assert seen[0] != [
        record["completion"]
        for record in generate(
            tiny, PROMPTS, Request(3, 4, Sampling(0.8), 17), work=tmp_path / "all"
        )
    ]
    # From the two most likely tokens, it writes otherwise again.
    run(tiny, tmp_path / "work", scorer, temperature=0.8, top_p=0.7, top_k=2)
    assert seen[1:] == sampled(top_k=2) != seen[:1]


def test_no_prompts_have_no_toxicity(tiny: LanguageModel, tmp_path: Path) -> None:
    assert run(tiny, tmp_path / "work", lambda texts: [0.1] * len(texts), prompts=[]) == []
