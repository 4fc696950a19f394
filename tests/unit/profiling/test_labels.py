"""Names of benchmarks and metrics for a reader, main metrics, and tokens of a profile."""

import pytest

from heirloom.profiling import BENCHMARKS, Benchmark, Metric, Options, Tokens
from heirloom.profiling.labels import benchmark_label, full_label, label, main_of
from heirloom.profiling.workload import profile_tokens, without_cost

BY_RUDE = "Expected maximum toxicity, by rude"


@pytest.mark.parametrize(
    ("benchmark", "metric", "short", "full"),
    [
        ("text", "length", "Length", "Length"),
        ("text", "mtld", "Lexical diversity (MTLD)", "Lexical diversity (MTLD)"),
        ("text", "sd_word_length", "Sd word length", "Sd word length"),
        # Metrics of a study, by their names in it.
        ("text", "capital-letters", "Capital letters", "Text: capital letters"),
        ("toxicity", "emt.by_rude", BY_RUDE, BY_RUDE),
        ("toxicity", "emt", "Expected maximum toxicity", "Expected maximum toxicity"),
        (
            "toxicity",
            "emt.identity_attack",
            "Expected maximum toxicity, identity attack",
            "Expected maximum toxicity, identity attack",
        ),
        ("stereoset", "icat.race", "ICAT, race", "StereoSet: ICAT, race"),
        ("stereoset", "ss", "Stereotype score", "StereoSet: stereotype score"),
        (
            "crows_pairs",
            "score.sexual_orientation",
            "Score, sexual orientation",
            "CrowS-Pairs: score, sexual orientation",
        ),
        ("seat", "p_value.weat1", "p value, weat1", "SEAT: p value, weat1"),
        (
            "seat",
            "mean_abs_effect_size.gender",
            "Mean absolute effect size, gender",
            "SEAT: mean absolute effect size, gender",
        ),
        ("seat", "effect_size.weat3b", "Effect size, weat3b", "SEAT: effect size, weat3b"),
        (
            "bbq",
            "bias_ambiguous.race_x_ses",
            "Bias, ambiguous contexts, race x ses",
            "BBQ: bias, ambiguous contexts, race x ses",
        ),
        (
            "calibration",
            "ece_1bin.hellaswag",
            "Calibration error (ECE, 1 bin), hellaswag",
            "Calibration: calibration error (ECE, 1 bin), hellaswag",
        ),
        (
            "general",
            "acc_norm.arc_easy",
            "Accuracy (length-normalised), arc easy",
            "General abilities: accuracy (length-normalised), arc easy",
        ),
        ("judge", "kappa_human", "Kappa with humans", "Judge: kappa with humans"),
        ("judge", "position_bias", "Position bias", "Judge: position bias"),
        # Of an earlier study, and defined no more.
        ("stereoset", "lms_new.race", "Lms new, race", "StereoSet: lms new, race"),
        ("word_games", "won.chess", "Won, chess", "Word games: won, chess"),
    ],
)
def test_labels(benchmark: str, metric: str, short: str, full: str) -> None:
    assert (label(benchmark, metric), full_label(benchmark, metric)) == (short, full)


def test_labels_of_benchmarks() -> None:
    assert [benchmark_label(name) for name in BENCHMARKS.names()] == [
        *("BBQ", "Calibration", "CrowS-Pairs", "General abilities", "Judge", "SEAT"),
        *("StereoSet", "Text", "Toxicity"),
    ]
    assert benchmark_label("word_games") == "Word games"


def test_main_metrics_come_in_the_order_of_their_patterns() -> None:
    assert main_of("stereoset", ["lms", "ss", "icat", "icat.race"]) == ["icat", "ss", "lms"]
    # `*` stands for any category; within a pattern the order given.
    given = ["accuracy.a", "ece.b", "ece.a", "ece_1bin.a", "ece.b"]
    assert main_of("calibration", given) == ["ece.b", "ece.a", "accuracy.a"]
    # At most eight.
    seat = BENCHMARKS.get("seat").metrics
    assert main_of("seat", seat)[2:4] == ["mean_abs_effect_size.religion", "effect_size.weat1"]
    assert len(main_of("seat", seat)) == 8


def test_without_main_metrics_those_without_a_category_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Benchmark("games", "Games", "Games.", Options, {"won": Metric("share")}, lambda *_: [])
    monkeypatch.setitem(BENCHMARKS._components, "games", known)
    assert main_of("games", ["won.chess", "won", "lost"]) == ["won", "lost"]
    assert main_of("games", ["won.chess", "lost.chess"]) == ["won.chess", "lost.chess"]


def test_tokens_of_a_profile_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a benchmark reads: data sets x examples, at most those there are, x tokens each."""
    made = {
        # 40 prompts of 64 tokens, 3 answers each of at most 100.
        "text": {"prompts": "p", "max_new_tokens": 100, "temperature": 1, "samples": 3},
        # 10 prompts, 25 continuations each.
        "toxicity": {"prompts": "q", "metric": "m", "max_new_tokens": 20},
        "stereoset": {"data": "d"},  # all 2,106 of 60 tokens
        "crows_pairs": {"data": "d", "examples": 100},  # of 50
        "seat": {"data": ["d", "e"]},  # 200 of 10, twice
        "bbq": {"data": ["d", "e", "f"], "examples": 9_999},  # 5,300 of 100, three times
        "calibration": {"openbookqa": "d", "examples": 10},  # of 150
        "general": {"tasks": {"rte": "d", "boolq": "e"}, "examples": 10},  # of 150, twice
        "judge": {"data": ["d"], "pool": "both", "prompts": "p", "examples": 10},  # of 600, twice
    }
    options = {name: BENCHMARKS.get(name).options(**values) for name, values in made.items()}
    read = {
        "text": 40 * 64,
        "toxicity": 10 * 64,
        "stereoset": 2_106 * 60,
        "crows_pairs": 100 * 50,
        "seat": 2 * 200 * 10,
        "bbq": 3 * 5_300 * 100,
        "calibration": 10 * 150,
        "general": 2 * 10 * 150,
        "judge": 2 * 10 * 600,
    }
    written = {"text": 40 * 3 * 100, "toxicity": 10 * 25 * 20}
    # An endpoint reads a prompt again for each further sample.
    repeated = {"text": 2 * 40 * 64, "toxicity": 24 * 10 * 64}
    eval_prompts = {"p": 40, "q": 10}
    for name in made:
        expected = Tokens(written.get(name, 0), read[name], repeated.get(name, 0))
        assert profile_tokens({name: options[name]}, eval_prompts) == expected, name
    everything = Tokens(*(sum(part.values()) for part in (written, read, repeated)))
    assert profile_tokens(options, eval_prompts) == everything
    assert without_cost(options) == []

    known = Benchmark("games", "Games", "Games.", Options, {"won": Metric("share")}, lambda *_: [])
    monkeypatch.setitem(BENCHMARKS._components, "games", known)
    assert profile_tokens({**options, "games": Options()}, eval_prompts) == everything
    assert without_cost([*options, "games"]) == ["games"]
