"""The registry of objectives, and the scorers that need a model."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from heirloom import objectives
from heirloom.objectives import SCORERS, scoring
from heirloom.objectives.scoring import score, score_candidates
from heirloom.objectives.words import words
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.plugins import load_plugins
from heirloom.support.result_store import ResultStore

PLUGIN = """
import math

def shout(texts, *, mark="!"):
    return [float(text.count(mark)) for text in texts]

def together(texts):
    return [float(len(texts)) for _ in texts]

def odd(texts):
    return [math.nan, math.inf, -math.inf, None, 1]

def short(texts):
    return [1.0]

def chatty(texts):
    return [1.0, "two"]

def picky(texts):
    return [1.0 / (0 if text == "bad" else 1) for text in texts]

def broken(texts):
    raise RuntimeError("no weights")

def array(texts):
    return tuple(1.0 for text in texts)

def unready(texts):
    import a_package_that_is_not_there

value = 3
"""


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's own on sys.path."""
    path = tmp_path / "my_scorers.py"
    path.write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_scorers", raising=False)
    return path


# The registry


def test_finding_the_scorers_imports_nothing_heavy() -> None:
    code = (
        "import sys; from heirloom.objectives import SCORERS; SCORERS.names();"
        "print(*{'torch', 'transformers', 'sklearn', 'numpy', 'detoxify'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ""


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget after a test what it registers."""
    SCORERS.names()
    for attribute in ("_components", "_sources"):
        monkeypatch.setattr(SCORERS, attribute, dict(getattr(SCORERS, attribute)))


def test_a_plugin_brings_a_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registry: None
) -> None:
    file = tmp_path / "vowel_plugin.py"
    file.write_text(
        "from heirloom.objectives import scorer\n"
        "@scorer('vowels', label='Vowels', unit='letters', offensive=True)\n"
        "def vowels(texts, *, counted='aeiou'):\n"
        "    'Number of vowels.'\n"
        "    return [float(sum(text.count(v) for v in counted)) for text in texts]\n"
    )
    monkeypatch.setenv("HEIRLOOM_PLUGINS", "vowel_plugin")
    load_plugins()
    found = objectives.load("vowels")
    assert score("vowels", ["queue", ""]) == [4.0, 0.0]
    assert (found.source, found.summary) == (file, "Number of vowels.")
    assert found.options == {"counted": "aeiou"}
    assert found.offensive and not found.parameters
    sys.modules.pop("vowel_plugin")


def test_one_name_belongs_to_one_file(own_registry: None) -> None:
    with pytest.raises(HeirloomError, match=r"'mtld' is defined twice.*mtld\.py.*test_objectives"):

        @objectives.scorer("mtld", label="Mine", unit="words")
        def mine(texts: list[str]) -> list[float | None]:
            return [None for _ in texts]


def test_the_files_of_a_scorer_are_its_own_and_those_it_imports_from() -> None:
    assert [file.name for file in objectives.source_files("mtld")] == ["mtld.py", "words.py"]
    assert [file.name for file in objectives.source_files("length")] == ["length.py", "words.py"]


def test_an_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(
        HeirloomError,
        match=r"'mltd'.*mean 'mtld'\?.*Known: detoxify, length, mtld.*module:function",
    ):
        objectives.load("mltd")
    with pytest.raises(HeirloomError) as caught:
        objectives.load("zzzzzz")
    assert "mean" not in str(caught.value)


def test_a_function_elsewhere_needs_no_registration(plugin: Path) -> None:
    assert objectives.load("my_scorers:shout").source == plugin
    assert score("my_scorers:shout", ["a!", "b"]) == [1.0, 0.0]
    assert score("my_scorers:shout", ["a?"], {"mark": "?"}) == [1.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_scorers:missing", "could not be imported"),
        ("no_such_module_here:f", "could not be imported"),
        (":f", "could not be imported"),
        ("my_scorers:value", "is not a Python function"),
    ],
)
def test_a_function_elsewhere_that_cannot_be_used(name: str, message: str) -> None:
    with pytest.raises(HeirloomError, match=message):
        objectives.load(name)


# What a scorer may return


def test_what_is_not_finite_is_null() -> None:
    assert score("my_scorers:odd", ["a"] * 5) == [None, None, None, None, 1.0]


@pytest.mark.parametrize("shards", [1, 2, 5, 20])
def test_shards_follow_each_other_and_score_the_same_batches(
    monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    """Nine batches of 4 texts and one of 1, whose scorer sees the number of texts per call."""
    monkeypatch.setattr(scoring, "BATCH", 4)
    candidates = [{"prompt_id": "p", "sample": n, "completion": f"text {n}"} for n in range(37)]
    rows = [
        row
        for shard in range(1, shards + 1)
        for row in score_candidates(
            candidates, "my_scorers:together", {}, shard=shard, shards=shards
        )
    ]
    assert rows == [
        {"prompt_id": "p", "sample": n, "score": 4.0 if n < 36 else 1.0} for n in range(37)
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", r"my_scorers\.py\) returned 1 scores for 2 texts"),
        ("chatty", r"returned 'two' \(str\) for text 1"),
        ("broken", r"'my_scorers:broken' .*my_scorers\.py\) failed: RuntimeError: no weights"),
        ("array", "returned tuple; it must return a list"),
        ("unready", r"could not import .*a_package_that_is_not_there"),
    ],
)
def test_a_scorer_that_breaks_its_contract(name: str, message: str) -> None:
    with pytest.raises(HeirloomError, match=message):
        score(f"my_scorers:{name}", ["a", "b"])


@pytest.mark.parametrize("index", range(7))
def test_the_text_that_breaks_a_scorer_is_named(index: int) -> None:
    texts = ["good"] * 7
    texts[index] = "bad"
    with pytest.raises(HeirloomError, match=rf"failed on text {index} \('bad'\): ZeroDivision"):
        score("my_scorers:picky", texts)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(HeirloomError, match="pip install alt-profanity-check"):
        score("profanity", ["a word"])


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(HeirloomError, match=r"no option 'treshold'.*: threshold, min_words"):
        score("mtld", ["a"], {"treshold": 0.7})
    with pytest.raises(HeirloomError, match=r"no option 'texts'.*options: none"):
        score("length", ["a"], {"texts": []})


# Length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's a well-known fact.", ["It's", "a", "well-known", "fact"]),
        ("don\u2019t", ["don\u2019t"]),
        ("'quoted' - 'tis", ["quoted", "tis"]),
        ("1,000.5 or 2nd, 3.", ["1,000.5", "or", "2nd", "3"]),
        ("and/or e.g. a--b", ["and", "or", "e", "g", "a", "b"]),
        ("**bold** _it_ `x_1`", ["bold", "it", "x", "1"]),
        ("Cafe\u0301 na\u00efve", ["Caf\u00e9", "na\u00efve"]),
        ("\U0001f600 \u2014 ...", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_length_of_nothing_is_zero() -> None:
    assert score("length", ["one two", "", "  ", "!"]) == [2.0, 0.0, 0.0, 0.0]


# Profanity


def test_profanity_by_sign_and_null() -> None:
    pytest.importorskip("profanity_check")
    polite, rude, empty, signs = score(
        "profanity", ["Thank you for the lovely cake.", "You fucking idiot.", "", "?!"]
    )
    assert polite is not None and polite < 0.1
    assert rude is not None and rude > 0.9
    assert empty is None and signs is None
    assert score("profanity", ["", " "]) == [None, None]


def test_profanity_takes_the_worst_window() -> None:
    reference = pytest.importorskip("profanity_check")
    kind = "thank you for the very lovely chocolate birthday cake today"  # 10 words
    rude = "you fucking idiot"
    text = f"{kind} {kind} {rude}"
    whole, windows = reference.predict_prob([text, rude])
    assert score("profanity", [text]) == [pytest.approx(windows, abs=1e-12)]
    whole_text = score("profanity", [text], {"window_words": 23})
    assert whole_text == [pytest.approx(whole, abs=1e-12)]


def test_the_profanity_model_loads_without_a_warning() -> None:
    pytest.importorskip("profanity_check")
    code = "import warnings; warnings.simplefilter('error', UserWarning); import profanity_check"
    subprocess.run([sys.executable, "-c", code], check=True)


# Detoxify


def test_detoxify_takes_the_worst_window(tiny_detoxify: dict[str, str]) -> None:
    # One-letter words, one token each: 10 fit between [CLS] and [SEP].
    windows = [" ".join(letters) for letters in ("abcdefghij", "klmnopqrst", "uvwxy")]
    scores = score("detoxify", windows, tiny_detoxify)
    expected = max(value for value in scores if value is not None)
    # A last window of 5 in front would shift the others, so that the full ones change places.
    for order in (windows, [windows[1], windows[0], windows[2]]):
        (whole,) = score("detoxify", [" ".join(order)], tiny_detoxify)
        assert whole == pytest.approx(expected, abs=1e-6)
    assert len(set(scores)) == 3


def test_one_pass_of_detoxify_serves_all_attributes(tiny_detoxify: dict[str, str]) -> None:
    from heirloom.objectives.detoxify import _load

    texts = [f"one pass {letter}" for letter in "abcdefgh"]
    windows = 0

    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal windows
        windows += len(kwargs["input_ids"])

    model = _load(None, tiny_detoxify["checkpoint"], tiny_detoxify["config_path"]).model
    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        first, *others = (
            score("detoxify", texts, {**tiny_detoxify, "attribute": attribute})
            for attribute in ("toxicity", "severe_toxicity", "insult")
        )
        assert windows == len(texts)
        assert all(other != first for other in others)
        # Other texts, or another order of them, are scored themselves.
        assert score("detoxify", texts[::-1], tiny_detoxify)[::-1] == pytest.approx(first, abs=1e-6)
        assert windows == 2 * len(texts)
    finally:
        hook.remove()


def test_detoxify_of_nothing_loads_nothing() -> None:
    assert score("detoxify", ["", " "], {"checkpoint": "/nowhere"}) == [None, None]
    assert score("detoxify", [], {"checkpoint": "/nowhere"}) == []


def test_detoxify_names_what_is_wrong(tiny_detoxify: dict[str, str], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(HeirloomError, match="model_type 'biased'; choose one of unbiased"):
        score("detoxify", ["a"], {"model_type": "biased"})
    with pytest.raises(HeirloomError, match="attribute 'rude'; it has toxicity, severe_tox"):
        score("detoxify", ["a"], {**tiny_detoxify, "attribute": "rude"})
    with pytest.raises(HeirloomError, match="batch_size must be at least 1"):
        score("detoxify", ["a"], {**tiny_detoxify, "batch_size": 0})
    with pytest.raises(HeirloomError, match="checkpoint /nowhere does not exist"):
        score("detoxify", ["a"], {"checkpoint": "/nowhere"})
    folder = {**tiny_detoxify, "config_path": str(tmp_path)}
    with pytest.raises(HeirloomError, match=r"has no config\.json"):
        score("detoxify", ["a"], folder)
    config = (Path(tiny_detoxify["config_path"]) / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(HeirloomError, match="tokenizer of 5 tokens for a model of 57"):
        score("detoxify", ["a"], folder)

    other = tmp_path / "other.ckpt"
    torch.save({"weights": {}}, other)
    with pytest.raises(HeirloomError, match="not a checkpoint in Detoxify's format"):
        score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    loaded["config"]["dataset"]["args"]["classes"] += ["obscene"]
    torch.save(loaded, other)
    with pytest.raises(HeirloomError, match="4 classes for 3 outputs"):
        score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    del loaded["state_dict"]["classifier.weight"]
    torch.save(loaded, other)
    with pytest.raises(HeirloomError, match=r"lacks weights.*classifier\.weight"):
        score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})
    loaded["state_dict"]["classifier.weight"] = torch.zeros(3, 8)
    torch.save(loaded, other)
    with pytest.raises(HeirloomError, match=r"do not fit.*size mismatch for classifier\.weight"):
        score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})
    torch.save({**loaded, "state_dict": [1, 2]}, other)
    with pytest.raises(HeirloomError, match="do not fit the configuration"):
        score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})


class _Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.file,)


def test_a_checkpoint_runs_no_code(tiny_detoxify: dict[str, str], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    loaded["extra"] = _Payload(tmp_path / "ran")
    torch.save(loaded, tmp_path / "payload.ckpt")
    options = {**tiny_detoxify, "checkpoint": str(tmp_path / "payload.ckpt")}
    with pytest.raises(
        HeirloomError, match=r"payload\.ckpt is damaged, or holds more than tensors"
    ):
        score("detoxify", ["a"], options)
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "payload.ckpt", weights_only=False)
    assert (tmp_path / "ran").exists()  # the payload does work


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half an archive"])
def test_a_file_that_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(HeirloomError, match=r"bad\.ckpt (is damaged|cannot be read)"):
        score("detoxify", ["a"], {"checkpoint": str(tmp_path / "bad.ckpt")})


def test_no_download_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("detoxify")

    def offline(*args: Any, **kwargs: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(
        HeirloomError, match=r"'unbiased' could not be downloaded from https.*set checkpoint"
    ):
        score("detoxify", ["a"])


def test_a_model_that_yields_nan_has_no_score(
    tiny_detoxify: dict[str, str], tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    loaded["state_dict"]["classifier.bias"].fill_(math.nan)
    torch.save(loaded, tmp_path / "nan.ckpt")
    options = {**tiny_detoxify, "checkpoint": str(tmp_path / "nan.ckpt")}
    assert score("detoxify", ["a b c", "d " * 30], options) == [None, None]


# Scores that are known


def test_a_batch_is_scored_once_whatever_the_number_of_shards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scoring, "BATCH", 4)
    code = tmp_path / "code.py"
    code.write_text("a")
    known = scoring.Known(ResultStore(tmp_path / "store"), [code])
    candidates = [{"prompt_id": "p", "sample": n, "completion": f"text {n}"} for n in range(10)]

    def scores(name: str, shards: int = 1, **options: Any) -> list[Record]:
        return [
            row
            for shard in range(1, shards + 1)
            for row in score_candidates(
                *(candidates, name, options), shard=shard, shards=shards, known=known
            )
        ]

    def kept() -> int:
        return len(list((tmp_path / "store").iterdir()))

    first = scores("my_scorers:together")
    assert [row["score"] for row in first] == [4.0] * 8 + [2.0] * 2
    assert kept() == 3
    assert scores("my_scorers:together", shards=3) == first
    assert kept() == 3
    code.write_text("b")
    assert scores("my_scorers:together") == first
    assert kept() == 6  # of other code
    with pytest.raises(HeirloomError):
        scores("my_scorers:broken")
    assert kept() == 6  # a failure is nothing to keep


def test_a_file_that_an_option_names_belongs_to_the_scorer(tmp_path: Path) -> None:
    """A checkpoint that is replaced under its old name gives other scores."""
    checkpoint = tmp_path / "checkpoint"
    contents = []
    for content in ("one", "two"):
        checkpoint.write_text(content)
        contents.append(scoring._content(str(checkpoint)))
    assert contents[0] != contents[1]
    assert scoring._content(str(tmp_path / "absent")) == scoring._content(3) == []


def test_a_completion_without_an_answer_has_no_score() -> None:
    # The scorer is given the others alone: `together` scores a text with the number of texts.
    assert score("my_scorers:together", ["a", None, "b"]) == [2.0, None, 2.0]
    assert score("my_scorers:broken", [None]) == [None]
    record = {"prompt_id": "p", "sample": 0, "completion": None}
    assert list(score_candidates([record], "length", {})) == [
        {"prompt_id": "p", "sample": 0, "score": None}
    ]
