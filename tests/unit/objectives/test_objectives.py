"""The registry of objectives, and the scorers that need a model."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from heirloom import objectives
from heirloom.objectives.length import words
from heirloom.support.errors import HeirloomError

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


def test_shipped_scorers_are_found_with_their_files() -> None:
    assert {"length", "mtld", "profanity", "detoxify"} <= set(objectives.names())
    for name in ("length", "mtld", "profanity", "detoxify"):
        found = objectives.load(name)
        assert found.name == name
        assert found.unit
        assert objectives.source_file(name).name == f"{name}.py"


def test_finding_the_scorers_imports_nothing_heavy() -> None:
    code = (
        "import sys; from heirloom import objectives; objectives.names();"
        "print(*{'torch', 'transformers', 'sklearn', 'numpy', 'detoxify'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ""


def test_a_new_file_is_a_new_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    file = folder / "added_for_the_test.py"
    file.write_text(
        "from heirloom.objectives import scorer\n"
        "@scorer('vowels', unit='letters')\n"
        "def vowels(texts):\n"
        "    return [float(sum(text.count(v) for v in 'aeiou')) for text in texts]\n"
    )
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(folder)])
    monkeypatch.setattr(objectives, "_registry", dict(objectives._registry))
    objectives._discover.cache_clear()
    try:
        assert objectives.score("vowels", ["queue", ""]) == [4.0, 0.0]
        assert objectives.source_file("vowels") == file
    finally:
        objectives._discover.cache_clear()
        sys.modules.pop("heirloom.objectives.added_for_the_test", None)


def test_one_name_belongs_to_one_file() -> None:
    objectives.names()
    with pytest.raises(HeirloomError, match=r"'mtld' is defined twice.*mtld\.py.*test_objectives"):

        @objectives.scorer("mtld", unit="words")
        def mine(texts: list[str]) -> list[float | None]:
            return [None for _ in texts]


def test_an_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(
        HeirloomError, match=r"'mltd'.*mean 'mtld'\?.*Known: detoxify, length, mtld"
    ):
        objectives.load("mltd")
    with pytest.raises(HeirloomError) as caught:
        objectives.load("zzzzzz")
    assert "mean" not in str(caught.value)


def test_a_function_elsewhere_needs_no_registration(plugin: Path) -> None:
    assert objectives.source_file("my_scorers:shout") == plugin
    assert objectives.score("my_scorers:shout", ["a!", "b"]) == [1.0, 0.0]
    assert objectives.score("my_scorers:shout", ["a?"], {"mark": "?"}) == [1.0]


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
    assert objectives.score("my_scorers:odd", ["a"] * 5) == [None, None, None, None, 1.0]


@pytest.mark.parametrize("shards", [1, 2, 5, 20])
def test_shards_follow_each_other_and_score_the_same_pieces(
    monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    """Nine pieces of 4 texts and one of 1, whose scorer sees how many texts it is given."""
    monkeypatch.setattr(objectives, "PIECE", 4)
    texts = [f"text {number}" for number in range(37)]
    parts = [
        objectives.score_shard("my_scorers:together", texts, {}, shard=shard, shards=shards)
        for shard in range(shards)
    ]
    assert [text for own, _ in parts for text in texts[own]] == texts
    assert [score for _, scores in parts for score in scores] == [4.0] * 36 + [1.0]


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
        objectives.score(f"my_scorers:{name}", ["a", "b"])


@pytest.mark.parametrize("index", range(7))
def test_the_text_that_breaks_a_scorer_is_named(index: int) -> None:
    texts = ["good"] * 7
    texts[index] = "bad"
    with pytest.raises(HeirloomError, match=rf"failed on text {index} \('bad'\): ZeroDivision"):
        objectives.score("my_scorers:picky", texts)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(HeirloomError, match="pip install alt-profanity-check"):
        objectives.score("profanity", ["a word"])


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(HeirloomError, match=r"no option 'treshold'.*: threshold, min_words"):
        objectives.score("mtld", ["a"], {"treshold": 0.7})
    with pytest.raises(HeirloomError, match=r"no option 'texts'.*options: none"):
        objectives.score("length", ["a"], {"texts": []})


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
    assert objectives.score("length", ["one two", "", "  ", "!"]) == [2.0, 0.0, 0.0, 0.0]


# Profanity


def test_profanity_by_sign_and_null() -> None:
    pytest.importorskip("profanity_check")
    polite, rude, empty, signs = objectives.score(
        "profanity", ["Thank you for the lovely cake.", "You fucking idiot.", "", "?!"]
    )
    assert polite is not None and polite < 0.1
    assert rude is not None and rude > 0.9
    assert empty is None and signs is None
    assert objectives.score("profanity", ["", " "]) == [None, None]


def test_profanity_takes_the_worst_window() -> None:
    reference = pytest.importorskip("profanity_check")
    kind = "thank you for the very lovely chocolate birthday cake today"  # 10 words
    rude = "you fucking idiot"
    text = f"{kind} {kind} {rude}"
    whole, windows = reference.predict_prob([text, rude])
    assert objectives.score("profanity", [text]) == [pytest.approx(windows, abs=1e-12)]
    whole_text = objectives.score("profanity", [text], {"window_words": 23})
    assert whole_text == [pytest.approx(whole, abs=1e-12)]


def test_profanity_does_not_depend_on_the_batch() -> None:
    pytest.importorskip("profanity_check")
    texts = [f"{'some plain words ' * n}damn" for n in range(20)] + [""]
    alone = [objectives.score("profanity", [text])[0] for text in texts]
    assert objectives.score("profanity", texts, {"batch_size": 3}) == pytest.approx(alone, abs=1e-9)


def test_the_profanity_model_loads_without_a_warning() -> None:
    pytest.importorskip("profanity_check")
    code = "import warnings; warnings.simplefilter('error', UserWarning); import profanity_check"
    subprocess.run([sys.executable, "-c", code], check=True)


# Detoxify


@pytest.fixture(scope="module")
def tiny_detoxify(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A random BERT of 12 positions over single letters, in Detoxify's checkpoint format."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("detoxify")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        num_labels=3,
        initializer_range=1.0,  # so that texts differ in their scores
    )
    config.save_pretrained(folder)
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    args = {
        "model_type": str(folder),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": 3,
    }
    dataset = {"args": {"classes": ["toxic", "severe_toxic", "insult"]}}
    weights = model.state_dict()
    weights["bert.embeddings.position_ids"] = torch.arange(12)[None]  # as in older checkpoints
    torch.save(
        {"config": {"arch": {"args": args}, "dataset": dataset}, "state_dict": weights},
        folder / "tiny.ckpt",
    )
    return {"checkpoint": str(folder / "tiny.ckpt"), "config_path": str(folder)}


# One token a letter, and 10 fit between [CLS] and [SEP].
SHORT = ["abc", "hello you", "a", "zz top", "kind words"]


def test_detoxify_takes_the_worst_window(tiny_detoxify: dict[str, str]) -> None:
    # One-letter words, one token each: 10 fit between [CLS] and [SEP].
    windows = [" ".join(letters) for letters in ("abcdefghij", "klmnopqrst", "uvwxy")]
    scores = objectives.score("detoxify", windows, tiny_detoxify)
    expected = max(score for score in scores if score is not None)
    # A last window of 5 in front would shift the others, so that the full ones change places.
    for order in (windows, [windows[1], windows[0], windows[2]]):
        score = objectives.score("detoxify", [" ".join(order)], tiny_detoxify)
        assert score == [pytest.approx(expected, abs=1e-6)]
    assert len(set(scores)) == 3


def test_detoxify_does_not_depend_on_batch_or_order(tiny_detoxify: dict[str, str]) -> None:
    texts = [*SHORT, "", " ".join("abcdefghijklmnopqrstuvwxyz" * 3), "!!", "bad"]
    alone = [objectives.score("detoxify", [text], tiny_detoxify)[0] for text in texts]
    assert alone[5] is None and alone[7] is None
    for batch_size in (1, 2, 64):
        options: dict[str, Any] = {**tiny_detoxify, "batch_size": batch_size}
        together = objectives.score("detoxify", texts[::-1], options)[::-1]
        assert together == pytest.approx(alone, abs=1e-6)


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
            objectives.score("detoxify", texts, {**tiny_detoxify, "attribute": attribute})
            for attribute in ("toxicity", "severe_toxicity", "insult")
        )
        assert windows == len(texts)
        assert all(other != first for other in others)
        # Other texts, or another order of them, are scored themselves.
        assert objectives.score("detoxify", texts[::-1], tiny_detoxify)[::-1] == pytest.approx(
            first, abs=1e-6
        )
        assert windows == 2 * len(texts)
    finally:
        hook.remove()


def test_detoxify_of_nothing_loads_nothing() -> None:
    assert objectives.score("detoxify", ["", " "], {"checkpoint": "/nowhere"}) == [None, None]
    assert objectives.score("detoxify", [], {"checkpoint": "/nowhere"}) == []


def test_detoxify_names_what_is_wrong(tiny_detoxify: dict[str, str], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(HeirloomError, match="model_type 'biased'; choose one of unbiased"):
        objectives.score("detoxify", ["a"], {"model_type": "biased"})
    with pytest.raises(HeirloomError, match="attribute 'rude'; it has toxicity, severe_tox"):
        objectives.score("detoxify", ["a"], {**tiny_detoxify, "attribute": "rude"})
    with pytest.raises(HeirloomError, match="batch_size must be at least 1"):
        objectives.score("detoxify", ["a"], {**tiny_detoxify, "batch_size": 0})
    with pytest.raises(HeirloomError, match="checkpoint /nowhere does not exist"):
        objectives.score("detoxify", ["a"], {"checkpoint": "/nowhere"})
    folder = {**tiny_detoxify, "config_path": str(tmp_path)}
    with pytest.raises(HeirloomError, match=r"has no config\.json"):
        objectives.score("detoxify", ["a"], folder)
    config = (Path(tiny_detoxify["config_path"]) / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(HeirloomError, match="tokenizer of 5 tokens for a model of 57"):
        objectives.score("detoxify", ["a"], folder)

    other = tmp_path / "other.ckpt"
    torch.save({"weights": {}}, other)
    with pytest.raises(HeirloomError, match="not a checkpoint in Detoxify's format"):
        objectives.score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    loaded["config"]["dataset"]["args"]["classes"] += ["obscene"]
    torch.save(loaded, other)
    with pytest.raises(HeirloomError, match="4 classes for 3 outputs"):
        objectives.score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    del loaded["state_dict"]["classifier.weight"]
    torch.save(loaded, other)
    with pytest.raises(HeirloomError, match=r"lacks weights.*classifier\.weight"):
        objectives.score("detoxify", ["a"], {**tiny_detoxify, "checkpoint": str(other)})


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
        objectives.score("detoxify", ["a"], options)
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "payload.ckpt", weights_only=False)
    assert (tmp_path / "ran").exists()  # the payload does work


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half an archive"])
def test_a_file_that_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(HeirloomError, match=r"bad\.ckpt (is damaged|cannot be read)"):
        objectives.score("detoxify", ["a"], {"checkpoint": str(tmp_path / "bad.ckpt")})


def test_no_download_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("detoxify")

    def offline(*args: Any, **kwargs: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(
        HeirloomError, match=r"'unbiased' could not be downloaded from https.*set checkpoint"
    ):
        objectives.score("detoxify", ["a"])


def test_a_model_that_yields_nan_has_no_score(
    tiny_detoxify: dict[str, str], tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(tiny_detoxify["checkpoint"], weights_only=True)
    loaded["state_dict"]["classifier.bias"].fill_(math.nan)
    torch.save(loaded, tmp_path / "nan.ckpt")
    options = {**tiny_detoxify, "checkpoint": str(tmp_path / "nan.ckpt")}
    assert objectives.score("detoxify", ["a b c", "d " * 30], options) == [None, None]
