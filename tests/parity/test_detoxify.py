"""Detoxify's five models, in miniature, against the package that published them.

Each is a random model of the architecture, the outputs and the classes of the published one, put
where torch.hub keeps its download, so that both implementations load it by its own name.
"""

import json
import math
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heirloom.objectives.scoring import score

detoxify = pytest.importorskip("detoxify")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# As the training configurations in unitaryai/detoxify name them; of the later models' 16 outputs
# the last 9 are identities, which have no class.
FIRST = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
LATER = [
    *("toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat"),
    "sexual_explicit",
]
# Model type to architecture, classes and outputs.
MODELS = {
    "original": ("Bert", FIRST, 6),
    "unbiased": ("Roberta", LATER, 16),
    "multilingual": ("XLMRoberta", LATER, 16),
    "original-small": ("Albert", FIRST, 6),
    "unbiased-small": ("Albert", LATER, 16),
}
MAX_TOKENS = 16
SHORT = ["abc", "hello you", "a", "zz top", "Kind Words", "the end", "x y z", "no 1"]


@dataclass(frozen=True)
class Published:
    """A model that both sides load, and the package's own copy of it."""

    options: dict[str, Any]
    reference: Any


@pytest.fixture(scope="module", params=MODELS)
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    architecture, classes, outputs = MODELS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    folder = root / "config"
    tokenizer = _tokenizer(architecture)
    tokenizer.save_pretrained(folder)
    # Position ids of the RoBERTa family start after the padding id.
    shift = tokenizer.pad_token_id + 1 if "Roberta" in architecture else 0
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=MAX_TOKENS + shift,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=outputs,
        initializer_range=0.5,  # so that texts differ in their scores, which are not all 0 or 1
        **({"embedding_size": 8} if architecture == "Albert" else {"type_vocab_size": 2}),
    )
    config.save_pretrained(folder)
    torch.manual_seed(0)
    model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    args = {
        "model_type": str(folder),
        "model_name": type(model).__name__,
        "tokenizer_name": type(tokenizer).__name__,
        "num_classes": outputs,
    }
    hub = root / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    torch.save(
        {
            "config": {"arch": {"args": args}, "dataset": {"args": {"classes": classes}}},
            "state_dict": model.state_dict(),
        },
        hub / Path(detoxify.detoxify.MODEL_URLS[request.param]).name,
    )
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("TORCH_HOME", str(root))
        reference = detoxify.Detoxify(request.param, huggingface_config_path=str(folder))
        yield Published({"model_type": request.param, "config_path": str(folder)}, reference)


def _tokenizer(architecture: str) -> Any:
    """A tokenizer of the architecture's own class over single letters, for 16 tokens."""
    make = getattr(transformers, f"{architecture}Tokenizer")
    if architecture == "Bert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
        vocabulary: Any = {piece: index for index, piece in enumerate(pieces)}
        return make(vocab=vocabulary, model_max_length=MAX_TOKENS)
    if architecture == "Roberta":
        pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *LETTERS, *LETTERS.upper(), "\u0120"]
        vocabulary = {piece: index for index, piece in enumerate(pieces)}
        return make(vocab=vocabulary, merges=[], model_max_length=MAX_TOKENS)
    special = (
        ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        if architecture == "Albert"
        else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    pieces = [*special, *LETTERS, *LETTERS.upper(), "\u2581"]
    scores = [(piece, -math.log(len(pieces))) for piece in pieces]
    return make(vocab=scores, model_max_length=MAX_TOKENS)


def scores(model: Published, texts: list[str], attribute: str) -> list[float | None]:
    return score("detoxify", texts, {**model.options, "attribute": attribute})


def test_equal_to_the_package(published: Published) -> None:
    # One text per call: of a list of one the package returns a number, of more a list.
    each = [published.reference.predict(text) for text in SHORT]
    together = published.reference.predict(SHORT)
    for attribute in together:
        expected = [result[attribute] for result in each]
        ours = scores(published, SHORT, attribute)
        assert ours == pytest.approx(expected, abs=1e-6)
        assert ours == pytest.approx(together[attribute], abs=1e-6)
        assert max(expected) - min(expected) > 0.01


def test_a_long_text_is_as_toxic_as_its_worst_window(published: Published) -> None:
    """Windows of 16 tokens with their special ones, each through the package's own model."""
    text = " ".join(LETTERS * 2)
    reference = published.reference
    ids = reference.tokenizer(text, add_special_tokens=False)["input_ids"]
    first, *_, last = reference.tokenizer("a")["input_ids"]
    room = MAX_TOKENS - 2
    windows = [[first, *ids[i : i + room], last] for i in range(0, len(ids), room)]
    assert len(windows) > 3
    with torch.no_grad():
        probabilities = torch.cat(
            [torch.sigmoid(reference.model(torch.tensor([window])).logits) for window in windows]
        )
    start = reference.predict(text)  # the package truncates it and scores the start
    higher = 0
    for column, attribute in enumerate(reference.class_names):
        (ours,) = scores(published, [text], attribute)
        assert ours == pytest.approx(float(probabilities[:, column].max()), abs=1e-6)
        assert start[attribute] == pytest.approx(float(probabilities[0, column]), abs=1e-6)
        higher += ours is not None and ours > start[attribute] + 1e-3
    assert higher > 0


def test_a_tokenizer_that_names_no_length_gets_the_models(
    published: Published, tmp_path: Path
) -> None:
    folder = tmp_path / "config"
    shutil.copytree(published.options["config_path"], folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings.pop("model_max_length") == MAX_TOKENS
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    unlimited = Published({**published.options, "config_path": str(folder)}, published.reference)
    texts = [" ".join(LETTERS * 2), "short"]
    assert scores(unlimited, texts, "toxicity") == pytest.approx(
        scores(published, texts, "toxicity"), abs=1e-6
    )
