"""SEAT: effect sizes and p values by hand, the authors' files, and embeddings of tiny models."""

import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tiny import tiny_network
from tokenizers import processors

from heirloom import profiling
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import Task, summarise
from heirloom.profiling.data.seat import TESTS, AssociationTest, gather_tests, read_tests
from heirloom.profiling.engines.embeddings import embed
from heirloom.profiling.options import needs
from heirloom.profiling.seat import (
    METRICS,
    SeatOptions,
    associations,
    effect_size,
    mean_abs_effect_size,
    p_value,
    permutation_p,
)
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data" / "seat"

# Of length 1, so that a cosine is a product. With A = {a} and B = {b}, s(w) = w_1 - w_2:
# 1, -0.2, -1 and 0.2.
PLANE = {
    "a": np.array([1.0, 0.0]),
    "b": np.array([0.0, 1.0]),
    "x1": np.array([1.0, 0.0]),
    "x2": np.array([0.6, 0.8]),
    "y1": np.array([0.0, 1.0]),
    "y2": np.array([0.8, 0.6]),
    "unknown": None,
}
S = [1.0, -0.2, -1.0, 0.2]
# Means 0.4 and -0.4; all four have mean 0, squares 1 + 0.04 + 1 + 0.04 = 2.08 and so the variance
# 2.08 / 3 with n - 1.
D = 0.8 / math.sqrt(2.08 / 3)


def columns(s: list[float], sets: str, tests: list[str] | None = None) -> dict[str, Any]:
    found = {"association": np.array(s), "set": np.array(list(sets))}
    return found if tests is None else {**found, "test": np.array(tests)}


# Association and effect size


def test_association_by_hand() -> None:
    assert associations(["x1", "x2", "y1", "y2"], ["a"], ["b"], PLANE) == pytest.approx(S)
    # A = {a, x2}: cosines of y2 are 0.8 and 0.48 + 0.48 = 0.96, mean 0.88. B = {b, y1}: 0.6 twice.
    assert associations(["y2"], ["a", "x2"], ["b", "y1"], PLANE) == pytest.approx([0.28])


def test_a_target_without_embedding_is_null_and_an_attribute_without_one_makes_all_null() -> None:
    assert associations(["x1", "unknown"], ["a"], ["b"], PLANE) == [1.0, None]
    assert associations(["x1", "x2"], ["a"], ["b", "unknown"], PLANE) == [None, None]
    assert associations(["x1", "x2"], ["a", "unknown"], ["b"], PLANE) == [None, None]


def test_effect_size_by_hand() -> None:
    assert effect_size(columns(S, "XXYY"), np.ones((1, 4))) == pytest.approx([D])
    assert effect_size(columns(S, "YYXX"), np.ones((1, 4))) == pytest.approx([-D])
    # Two clusters and nothing within them: s = 1, 1, -1, -1 has d = 2 / sqrt(4 / 3) = sqrt(3).
    assert effect_size(columns([1, 1, -1, -1], "XXYY"), np.ones((1, 4)))[0] == pytest.approx(3**0.5)


def test_effect_size_of_a_resample_is_that_of_the_drawn_targets() -> None:
    drawn = [S[0], S[0], S[0], S[2], S[3], S[3]]  # x1 three times, x2 never, y1 once, y2 twice
    gap = np.mean(drawn[:3]) - np.mean(drawn[3:])
    both = effect_size(columns(S, "XXYY"), np.array([[1.0, 1, 1, 1], [3, 0, 1, 2]]))
    assert both == pytest.approx([D, gap / np.std(drawn, ddof=1)])


@pytest.mark.parametrize(
    ("s", "weights"),
    [
        (S, [0, 0, 2, 2]),  # nothing of X
        (S, [2, 2, 0, 0]),  # nothing of Y
        ([0.1, 0.1, 0.1, 0.1], [1, 1, 1, 1]),  # nothing varies
        ([0.1 + 0.2, 0.3, 0.3, 0.3], [1, 1, 1, 1]),  # but for the last digit of a sum
        ([0.0, 0.0, 0.0, 0.0], [1, 1, 1, 1]),
    ],
)
def test_an_undefined_effect_size(s: list[float], weights: list[float]) -> None:
    assert np.isnan(effect_size(columns(s, "XXYY"), np.array([weights], dtype=float))).all()


def test_the_mean_absolute_effect_size_by_hand() -> None:
    # Test one has d = D; two is the same with X and Y exchanged, so -D; three has sqrt(3).
    s = [*S, *S, 1, 1, -1, -1]
    data = columns(s, "XXYYYYXXXXYY", ["one"] * 4 + ["two"] * 4 + ["three"] * 4)
    expected = (2 * D + math.sqrt(3)) / 3
    assert mean_abs_effect_size(data, np.ones((1, 12))) == pytest.approx([expected])
    # A resample without the X of test two has no such mean.
    weights = np.array([[1.0] * 12, [1, 1, 1, 1, 1, 1, 0, 0, 3, 1, 1, 1]])
    assert np.isnan(mean_abs_effect_size(data, weights)).tolist() == [False, True]


# p value


def p(s: list[float], sets: str, **options: Any) -> float:
    return permutation_p(np.array(s), np.array(list(sets)) == "X", **options)


def test_exact_p_by_hand() -> None:
    # Sums of two of 1, 0.2, -0.2, -1: 1.2, 0.8, 0, 0, -0.8, -1.2. Observed 0.8: 2 of 6.
    assert p(S, "XXYY") == 2 / 6
    assert p(S, "YYXX") == 5 / 6  # observed -0.8
    assert p(S, "XYXY") == 4 / 6  # observed 0, and the other 0 is as extreme
    # One against three: 1, 0.2, -0.2 and -1 themselves. Observed 0.2: 2 of 4.
    assert p(S, "YYYX") == 2 / 4
    # Three against one: the sum without -1 is the largest of four.
    assert p(S, "XXYX") == 1 / 4
    assert p([0.5] * 4, "XXYY") == 1.0
    # All the same number: whatever rounding makes of their sums.
    assert p([0.1] * 9, "XXXXXXYYY") == 1.0


def test_p_without_one_of_the_sets_is_undefined() -> None:
    assert math.isnan(p(S, "XXXX")) and math.isnan(p(S, "YYYY"))


@pytest.mark.parametrize(("m", "n", "shift"), [(6, 6, 0.5), (8, 8, 1.0), (4, 7, -0.3), (7, 4, 0.6)])
def test_p_is_that_of_scipy(m: int, n: int, shift: float) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(m)
    x, y = generator.normal(size=m) + shift, generator.normal(size=n)
    reference = scipy_stats.permutation_test(
        (x, y),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        n_resamples=np.inf,
        alternative="greater",
    )
    assert p([*x, *y], "X" * m + "Y" * n) == pytest.approx(reference.pvalue, abs=1e-12)


@pytest.mark.parametrize(("m", "n"), [(8, 8), (9, 5), (5, 9)])
def test_sampled_p_comes_near_exact_p(m: int, n: int) -> None:
    generator = np.random.default_rng(3)
    s, sets = [*(generator.normal(size=m) + 0.5), *generator.normal(size=n)], "X" * m + "Y" * n
    exact, sampled = p(s, sets), p(s, sets, exact=0)
    assert 0.01 < exact < 0.99 and sampled != exact
    # Four standard errors of a share of 10,000 draws.
    assert abs(sampled - exact) < 4 * math.sqrt(exact * (1 - exact) / 10_000)


def test_sampled_p_counts_the_observed_split_and_is_reproducible() -> None:
    s = [float(number) for number in range(40, 0, -1)]
    sets = "X" * 20 + "Y" * 20  # the most extreme of 1.4e11 splits: no draw will meet it
    assert p(s, sets) == 1 / 10_001
    assert p(s, sets[::-1]) == 1.0
    mixed = "XY" * 20
    assert p(s, mixed) == p(s, mixed)
    assert p(s, mixed) == p(s[::-1], mixed[::-1])  # whatever the order of the targets
    assert p(s, mixed) != p(s, mixed, seed=1)


def test_draws_in_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    s, sets = [*np.linspace(0, 1, 12), *np.linspace(-0.2, 0.8, 12)], "X" * 12 + "Y" * 12
    whole = p(s, sets)
    monkeypatch.setattr("heirloom.profiling.seat._AT_ONCE", 24 * 999)
    assert p(s, sets) == whole  # 10,000 draws are eleven chunks, the last of 10


def test_p_of_a_resample_is_that_of_the_drawn_targets() -> None:
    found = p_value(columns(S, "XXYY"), np.array([[1.0, 1, 1, 1], [2, 0, 0, 1], [0, 0, 2, 2]]))
    # x1 twice, y2 once: sums of two of 1, 1, 0.2 are 2, 1.2, 1.2; observed 2: 1 of 3.
    assert found[:2].tolist() == [2 / 6, 1 / 3]
    assert np.isnan(found[2])


# Metrics


def test_metrics_are_called_after_the_tests() -> None:
    assert len(TESTS) == 50
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in TESTS)
    assert list(METRICS) == [
        *(f"effect_size.{test}" for test in TESTS),
        *(f"mean_abs_effect_size.{topic}" for topic in ("gender", "race", "religion")),
        *(f"p_value.{test}" for test in TESTS),
    ]
    assert not any(metric.relative for metric in METRICS.values())
    assert {name.split(".")[0] for name, m in METRICS.items() if not m.compared} == {"p_value"}
    # What bias-bench's export/seat.py averages.
    sentences = {topic: set() for topic in ("gender", "race", "religion")}
    for name, topic in TESTS.items():
        if name.startswith("sent-") and topic in sentences:
            sentences[topic].add(name.removeprefix("sent-"))
    assert sentences == {
        "gender": {"weat6", "weat6b", "weat7", "weat7b", "weat8", "weat8b"},
        "race": {
            *("weat3", "weat3b", "weat4", "weat5", "weat5b"),
            *("angry_black_woman_stereotype", "angry_black_woman_stereotype_b"),
        },
        "religion": {"religion1", "religion1b", "religion2", "religion2b"},
    }


def record(test: str, group: str, stimulus: str, association: float | None) -> Record:
    return {
        "id": f"{test}/{group}/{stimulus}",
        "test": test,
        "topic": TESTS[test],
        "set": group,
        "stimulus": stimulus,
        "association": association,
    }


def test_a_summary_by_hand() -> None:
    records = [
        record("weat6", group, str(number), s)
        for number, (group, s) in enumerate(zip("XXYYX", [*S, None], strict=True))
    ]
    # Six targets, s = -1, -1, -1, 1, 1, 1: d = -2 / sqrt(6 / 5).
    records += [record("weat1", "X", word, -1.0) for word in "abc"]
    records += [record("weat1", "Y", word, 1.0) for word in "def"]
    summary = summarise(records, METRICS, seed=1)
    assert set(summary) == {
        *("effect_size.weat1", "effect_size.weat6", "p_value.weat1", "p_value.weat6"),
        "mean_abs_effect_size.gender",  # weat1 has no part in it
    }
    assert summary["effect_size.weat6"]["value"] == pytest.approx(D)
    assert (summary["effect_size.weat6"]["n"], summary["effect_size.weat6"]["n_missing"]) == (4, 1)
    assert summary["effect_size.weat1"]["value"] == pytest.approx(-2 / math.sqrt(6 / 5))
    assert summary["mean_abs_effect_size.gender"]["value"] == pytest.approx(D)
    assert summary["p_value.weat6"]["value"] == 2 / 6
    assert summary["p_value.weat6"]["interval"] is None
    assert summary["p_value.weat1"]["value"] == 1.0


# Files


def sent_bias(*sets: list[str]) -> dict[str, Any]:
    keys = ("targ1", "targ2", "attr1", "attr2")
    return {k: {"category": k.upper(), "examples": s} for k, s in zip(keys, sets, strict=True)}


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2)  # over many lines, as the authors' files are
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


SMALL = sent_bias(["John", "Paul", "John"], ["Amy", "Joan"], ["office", "pay"], ["home", "home"])


@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("weat6.jsonl", "weat6"),
        ("sent-weat6b.json", "sent-weat6b"),
        ("weat6.jsonl.gz", "weat6"),
        ("heilman_double_bind_likable_1+3-.jsonl", "heilman_double_bind_likable_1_3-"),
    ],
)
def test_a_test_is_called_after_its_file_and_drops_duplicates(
    tmp_path: Path, file: str, test: str
) -> None:
    found = read_tests(write(tmp_path / file, SMALL))
    expected = AssociationTest(("John", "Paul"), ("Amy", "Joan"), ("office", "pay"), ("home",))
    assert found == {test: expected}


def test_a_folder_of_tests(tmp_path: Path) -> None:
    for name in ("weat6", "sub/weat7", "no-test"):
        write(tmp_path / f"{name}.jsonl", SMALL)
    write(tmp_path / "attributes.json", {})
    with pytest.raises(HeirloomError, match=r"no-test.jsonl is called like no known test"):
        read_tests(tmp_path)
    # Asked for by name, the others are not looked at.
    assert list(read_tests(tmp_path, ["weat7"])) == ["weat7"]
    write(tmp_path / "sub/weat6.jsonl.gz", SMALL)
    with pytest.raises(HeirloomError, match=r"weat6.jsonl: the test weat6 is in .* twice"):
        read_tests(tmp_path, ["weat6"])
    with pytest.raises(HeirloomError, match="has no test"):
        (tmp_path / "empty").mkdir()
        read_tests(tmp_path / "empty")


WEFE_KEYS = [
    *("flowers", "insects", "pleasant_5", "unpleasant_5a", "instruments", "weapons"),
    *("european_american_names_5", "african_american_names_5", "unpleasant_5b"),
    *("european_american_names_7", "african_american_names_7", "pleasant_9", "unpleasant_9"),
    *("male_names", "female_names", "career", "family", "math", "arts", "male_terms"),
    *("female_terms", "science", "arts_2", "male_terms_2", "female_terms_2", "mental_disease"),
    *("physical_disease", "temporary", "permanent", "young_people_names", "old_people_names"),
]


def test_tests_are_assembled_from_the_word_sets_of_wefe(tmp_path: Path) -> None:
    # Each set is one word, its own name.
    words = write(tmp_path / "WEAT.json", {key: [key] for key in WEFE_KEYS})
    tests = read_tests(words)
    assert {name: [s for (s,) in (t.x, t.y, t.a, t.b)] for name, t in tests.items()} == {
        name: sets.split()
        for name, sets in {
            "weat1": "flowers insects pleasant_5 unpleasant_5a",
            "weat2": "instruments weapons pleasant_5 unpleasant_5a",
            "weat3": "european_american_names_5 african_american_names_5 pleasant_5 unpleasant_5b",
            "weat4": "european_american_names_7 african_american_names_7 pleasant_5 unpleasant_5b",
            "weat5": "european_american_names_7 african_american_names_7 pleasant_9 unpleasant_9",
            "weat6": "male_names female_names career family",
            "weat6b": "male_terms female_terms career family",
            "weat7": "math arts male_terms female_terms",
            "weat7b": "math arts male_names female_names",
            "weat8": "science arts_2 male_terms_2 female_terms_2",
            "weat8b": "science arts_2 male_names female_names",
            "weat9": "mental_disease physical_disease temporary permanent",
            "weat10": "young_people_names old_people_names pleasant_9 unpleasant_9",
        }.items()
    }
    assert list(read_tests(words, ["weat9", "sent-weat9"])) == ["weat9"]
    few = write(tmp_path / "few.json", {key: [key] for key in WEFE_KEYS[:4]})
    assert list(read_tests(few)) == ["weat1"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([SMALL], "holds neither a test of sent-bias"),
        ({"targ1": SMALL["targ1"]}, "holds neither a test of sent-bias"),
        ({**SMALL, "attr1": ["office"]}, r"weat6.jsonl, attr1.examples must be a list"),
        ({**SMALL, "attr1": {"examples": []}}, r"weat6.jsonl, attr1.examples must be a list"),
        ({**SMALL, "targ2": {"examples": ["Amy", " "]}}, r"targ2.examples, entry 2 is ' '"),
        ({**SMALL, "targ2": {"examples": ["Amy", None]}}, r"targ2.examples, entry 2 is None"),
        ({key: ["aster"] for key in WEFE_KEYS[:3]}, "has the word sets of no test"),
        ({**{key: ["aster"] for key in WEFE_KEYS[:4]}, "insects": 3}, "insects must be a list"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, document: Any, message: str) -> None:
    path = write(tmp_path / "weat6.jsonl", document)
    with pytest.raises(HeirloomError, match=message):
        read_tests(path)


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "weat6.jsonl").write_text("{")
    with pytest.raises(HeirloomError, match=r"weat6.jsonl cannot be read as JSON"):
        read_tests(tmp_path)


def test_tests_of_several_data_sets(tmp_path: Path) -> None:
    words = write(tmp_path / "WEAT.json", {key: [key] for key in WEFE_KEYS})
    sentences = write(tmp_path / "sent/sent-weat6.jsonl", SMALL).parent
    data = {"words": words, "sentences": sentences}
    assert list(gather_tests(data, ["sent-weat6", "weat8"])) == ["weat8", "sent-weat6"]
    assert list(gather_tests(data, None)) == [
        *("weat1", "weat2", "weat3", "weat4", "weat5"),
        *("weat6", "weat6b", "weat7", "weat7b", "weat8", "weat8b", "sent-weat6"),
        *("weat9", "weat10"),
    ]
    with pytest.raises(HeirloomError, match=r"weat3b is in none .*\(words, sentences\)"):
        gather_tests(data, ["weat3b", "weat8"])
    write(sentences / "weat6.jsonl", SMALL)
    with pytest.raises(HeirloomError, match=r"weat6 is in two of .* words and sentences"):
        gather_tests(data, None)
    assert list(gather_tests(data, ["weat7"])) == ["weat7"]


def test_the_authors_files_all_parse() -> None:
    if not SHARED.is_dir():
        pytest.skip("the authors' test files are not on this machine")
    tests = read_tests(SHARED)
    assert set(tests) == set(TESTS)
    sizes = {name: [len(s) for s in (t.x, t.y, t.a, t.b)] for name, t in tests.items()}
    # Table 1 of Caliskan et al., columns N_T and N_A.
    assert sizes["weat1"] == sizes["weat2"] == [25, 25, 25, 25]
    assert sizes["weat3"] == [32, 32, 25, 25]
    assert (sizes["weat4"], sizes["weat5"]) == ([16, 16, 25, 25], [16, 16, 8, 8])
    assert sizes["weat6"] == sizes["weat7"] == sizes["weat8"] == sizes["weat10"] == [8, 8, 8, 8]
    assert sizes["weat9"] == [6, 6, 7, 7]
    assert all(x == y for x, y, _, _ in sizes.values())
    assert sum(x + y for x, y, _, _ in sizes.values()) == 6010
    stimuli = {s for t in tests.values() for s in t.x + t.y + t.a + t.b}
    assert len(stimuli) == 5433
    assert Counter(TESTS[name] for name in tests) == {
        "race": 14,
        "gender": 12,
        "double_bind": 12,
        "objects": 4,
        "religion": 4,
        "health": 2,
        "age": 2,
    }


# Options


def test_unknown_tests_are_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValidationError, match=r"no test 'sent-weat6c'. The nearest are sent-weat6"):
        SeatOptions(data="words", tests=["weat1", "sent-weat6c"])
    with pytest.raises(ValidationError, match="weat1 is named twice"):
        SeatOptions(data="words", tests=["weat1", "weat1"])
    with pytest.raises(ValidationError, match="at least 1"):
        SeatOptions(data="words", tests=[])
    # The authors' spelling is as good as that of the metrics.
    options = SeatOptions(data="words", tests=["heilman_double_bind_likable_1+3-"])
    assert options.tests == ["heilman_double_bind_likable_1_3-"]


def test_the_options_name_one_data_set_or_several() -> None:
    assert needs(SeatOptions(data="words")).data == ("words",)
    assert needs(SeatOptions(data=["words", "sentences"])).data == ("words", "sentences")


# Encodings


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


TEXTS = ["a", "Amy", "This is a rose.", "That is no rose at all.", "The executive is here.", "John"]


def by_hand(model: LanguageModel, text: str | list[int], first: int) -> np.ndarray:
    """A text, or its tokens, by itself: the states that the output layer sees, from `first` on."""
    import torch

    tokens = model.tokenizer(text).input_ids if isinstance(text, str) else text
    ids = torch.tensor([tokens])
    with torch.inference_mode():
        output = model.network(ids, output_hidden_states=True)
    states = output.hidden_states[-1][0].double().numpy()
    mean = states[first:].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def test_embeddings_are_those_of_texts_by_themselves(tiny: LanguageModel) -> None:
    assert tiny.tokenizer("a").input_ids[0] == tiny.tokenizer.bos_token_id
    for special_tokens, first in ((False, 1), (True, 0)):
        found = embed(tiny, TEXTS, special_tokens=special_tokens)
        for text in TEXTS:
            assert found[text] == pytest.approx(by_hand(tiny, text, first), abs=1e-5)
            assert np.linalg.norm(found[text]) == pytest.approx(1.0)
    assert not np.allclose(by_hand(tiny, "Amy", 0), by_hand(tiny, "Amy", 1), atol=1e-2)


def test_a_special_token_that_the_text_spells_is_text(tiny: LanguageModel) -> None:
    text = "<|im_end|>"
    assert tiny.tokenizer(text).input_ids == [1, 3]
    # Nothing is merged with the first character, so these are its tokens as a text.
    parts = [tiny.tokenizer(part, add_special_tokens=False).input_ids for part in ("<", text[1:])]
    expected = by_hand(tiny, [1, *parts[0], *parts[1]], 1)
    assert embed(tiny, [text])[text] == pytest.approx(expected, abs=1e-5)


def test_an_eos_behind_the_text_does_not_enter_the_mean(tiny: LanguageModel) -> None:
    tokenizer = deepcopy(tiny.tokenizer)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <|im_end|>", special_tokens=[("<s>", 1), ("<|im_end|>", 3)]
    )
    ending = LanguageModel("x", tiny.network, tokenizer, PromptTemplate())
    for special_tokens in (False, True):
        found = embed(ending, ["Amy"], special_tokens=special_tokens)["Amy"]
        expected = embed(tiny, ["Amy"], special_tokens=special_tokens)["Amy"]
        assert found == pytest.approx(expected, abs=1e-6)


def test_embeddings_do_not_depend_on_the_batch(tiny: LanguageModel) -> None:
    texts = [f"{word} {tail}" for word in TEXTS for tail in ("is here.", "was there", "", "is it?")]
    alone, together = (embed(tiny, texts, batch_tokens=tokens) for tokens in (1, 4096))
    for text in texts:
        assert alone[text] == pytest.approx(together[text], abs=1e-5)
    # In the company of others, or padded and masked, a text stays the same.
    assert embed(tiny, texts[:1])[texts[0]] == pytest.approx(together[texts[0]], abs=1e-5)


def test_each_distinct_text_is_embedded_once_and_nothing_is_padded(
    tiny: LanguageModel, count_tokens: Callable[[], list[tuple[int, int]]]
) -> None:
    embed(tiny, [*TEXTS, *TEXTS, "Amy"], batch_tokens=16)
    lengths = Counter(len(tiny.tokenizer(text).input_ids) for text in TEXTS)
    shapes = count_tokens()
    seen: Counter[int] = Counter()
    for rows, length in shapes:
        seen[length] += rows
        assert rows == 1 or rows * length <= 16
    assert seen == lengths


@pytest.fixture
def count_tokens(tiny: LanguageModel) -> Any:
    """The shapes of the batches that the network saw."""
    shapes: list[tuple[int, int]] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        shapes.append(tuple(kwargs["input_ids"].shape))

    handle = tiny.network.base_model.register_forward_pre_hook(note, with_kwargs=True)
    yield lambda: shapes
    handle.remove()


def test_texts_without_an_embedding_are_null_and_counted(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    own = load_model(tiny_model, name="own", prompt_template=PromptTemplate(), dtype="float32")
    (broken,) = own.tokenizer("q", add_special_tokens=False).input_ids
    with torch.no_grad():
        own.network.get_input_embeddings().weight[broken] = math.nan
    texts = ["q", "a", "", "x" * 400]  # not finite; sound; no token of its own; beyond the context
    assert len(own.tokenizer(texts[3]).input_ids) > own.context_length
    found = embed(own, texts)
    assert [text for text in texts if found[text] is not None] == ["a"]
    assert "3 of 4 texts have no embedding, the first is 'q'" in caplog.text
    # With the tokens that the tokenizer adds, an empty text is its BOS.
    assert embed(own, [""], special_tokens=True)[""] is not None


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_last_hidden_state_is_what_the_output_layer_sees(
    tiny: LanguageModel, family: str
) -> None:
    """The final norm is in it: the output layer turns it into the logits."""
    import torch

    network = tiny.network
    if family == "gemma3":
        network = tiny_network("gemma3")
        # Its norms are 1 + weight with weight 0: without this, leaving one out would show less.
        torch.nn.init.normal_(network.model.norm.weight)
    ids = torch.tensor([tiny.tokenizer("This is a rose.").input_ids])
    with torch.inference_mode():
        states = network.base_model(input_ids=ids, use_cache=False).last_hidden_state
        torch.testing.assert_close(network.lm_head(states), network(ids).logits)


# The whole benchmark


def run(model: LanguageModel, work: Path, data: dict[str, Path], **options: Any) -> list[Record]:
    task = Task(
        model=model, prompts=[], format="continuation", scorer=None, data=data, seed=1, work=work
    )
    settings = SeatOptions.model_validate({"data": list(data), **options})
    return profiling.BENCHMARKS.get("seat").run(task, settings)


def test_the_benchmark_end_to_end(tiny: LanguageModel, tmp_path: Path) -> None:
    sets = (
        ["John", "Paul", "Mike"],
        ["Amy", "Joan", "Lisa"],
        ["office", "salary"],
        ["home", "wedding", "family"],
    )
    data = {"one": write(tmp_path / "weat6.jsonl", sent_bias(*sets))}
    records = run(tiny, tmp_path / "work", data)
    assert [r["id"] for r in records] == [
        *("weat6/X/John", "weat6/X/Paul", "weat6/X/Mike"),
        *("weat6/Y/Amy", "weat6/Y/Joan", "weat6/Y/Lisa"),
    ]
    x, y, a, b = ([by_hand(tiny, text, 1) for text in texts] for texts in sets)
    # The definition, written out.
    s = [np.mean([w @ v for v in a]) - np.mean([w @ v for v in b]) for w in x + y]
    assert [r["association"] for r in records] == pytest.approx(s, abs=1e-5)
    assert {(r["test"], r["topic"]) for r in records} == {("weat6", "gender")}
    json.dumps(records, allow_nan=False)
    summary = summarise(records, METRICS, seed=1)
    d = (np.mean(s[:3]) - np.mean(s[3:])) / np.std(s, ddof=1)
    assert summary["effect_size.weat6"]["value"] == pytest.approx(d, abs=1e-3)
    assert summary["p_value.weat6"]["value"] * 20 == pytest.approx(
        sum(sum(s[i] for i in split) >= sum(s[:3]) - 1e-9 for split in triples(6))
    )
    assert run(tiny, tmp_path / "work", data) == records
    with_bos = run(tiny, tmp_path / "work", data, special_tokens=True)
    assert [r["association"] for r in with_bos] != pytest.approx(s, abs=1e-5)


def triples(n: int) -> list[tuple[int, int, int]]:
    return [(i, j, k) for i in range(n) for j in range(i + 1, n) for k in range(j + 1, n)]


def test_what_cannot_be_embedded_is_missing(tiny: LanguageModel, tmp_path: Path) -> None:
    long = "long " * 200
    fine = (["John", "Paul"], ["Amy", "Joan"], ["office"], ["home"])
    target = sent_bias([*fine[0], long], *fine[1:])
    attribute = sent_bias(*fine[:3], ["home", long])
    data = {
        "a": write(tmp_path / "weat6.jsonl", target),
        "b": write(tmp_path / "weat7.jsonl", attribute),
        "c": write(tmp_path / "weat8.jsonl", sent_bias(*fine)),
    }
    summary = summarise(run(tiny, tmp_path / "work", data), METRICS, seed=1)
    counts = {name: (m["n"], m["n_missing"]) for name, m in summary.items() if "effect" in name}
    assert counts == {
        "effect_size.weat6": (4, 1),
        "effect_size.weat7": (0, 4),  # with other attributes it would be another test
        "effect_size.weat8": (4, 0),
        "mean_abs_effect_size.gender": (8, 5),
    }
    assert summary["effect_size.weat7"]["value"] is None
    assert summary["effect_size.weat6"]["value"] == summary["effect_size.weat8"]["value"]
