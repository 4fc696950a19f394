"""ToxBlock's LSTM: its formulas, its tokens, and what it refuses to read."""

import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from spelled_tox_block import WORDS, write_tox_block

from heirloom.fetch.cache import cache_root
from heirloom.fetch.downloads import fetch
from heirloom.fetch.settings import read_sources
from heirloom.objectives.scoring import score
from heirloom.objectives.tox_block import _read_vocabulary
from heirloom.support.errors import HeirloomError

Options = dict[str, str]
CLASSES = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")


def every_class(texts: list[str], options: Options) -> list[list[float | None]]:
    """Scores of texts, by class."""
    return [score("tox_block", texts, {**options, "attribute": name}) for name in CLASSES]


def test_one_word_by_hand(tmp_path: Path) -> None:
    """Two positions: padding, whose vector is 0, and a word, whose vector is 2.

    Gates are hard: clip(0.2 x + 0.5, 0, 1). Forward, the biases 1, 5, 0 and -1 make the input gate
    0.7, the forget gate 1 and the output gate 0.3; a sigmoid would give 0.73, 0.99 and 0.27. The
    candidate is tanh(0.5 x): 0 at the padding and tanh 1 at the word, which the LSTM reads last.
    So its outputs are 0 and 0.3 tanh(0.7 tanh 1), and the larger one is the second.
    Backward, the word comes first. All gates are 0.5 and the candidate is tanh(-0.5 x), so the cell
    is -0.5 tanh 1, then half of that: the outputs are 0.5 tanh of them, and the larger one is at
    the padding.
    """
    forward = [[[0, 0, 0.5, 0]], [[0, 0, 0, 0]], [1, 5, 0, -1]]
    backward = [[[0, 0, -0.5, 0]], [[0, 0, 0, 0]], [0, 0, 0, 0]]
    # The hidden layer passes on the two outputs and the negative one's opposite; ReLU drops one.
    hidden = [[[1, 0, 0], [0, 1, -1]], [0, 0, 0]]
    output = [[[1, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], [0, 0, 0, 0, 2, 0]]
    weights = [[[0], [2]], *forward, *backward, *hidden, *output]
    arrays = [np.array(array, dtype=np.float32) for array in weights]
    options = write_tox_block(tmp_path, arrays, ["wren"], positions=2)
    read = 0.3 * math.tanh(0.7 * math.tanh(1))
    back = 0.5 * math.tanh(-0.25 * math.tanh(1))
    logits = [read, 0, -back, 0, 2, 0]  # 9 times nothing: ReLU dropped it
    expected = [1 / (1 + math.exp(-logit)) for logit in logits]
    found = [scores[0] for scores in every_class(["Wren!"], options)]
    assert found == pytest.approx(expected, abs=1e-6)


def scalar(arrays: list[list], rows: list[int]) -> list[float]:
    """The model's formulas, one number at a time (Keras 2's LSTM, implementation 1)."""

    def hard(x: float) -> float:
        return min(1.0, max(0.0, 0.2 * x + 0.5))

    def lstm(vectors, kernel, recurrent, bias):
        units = len(recurrent)
        h, c, outputs = [0.0] * units, [0.0] * units, []
        for x in vectors:
            z = [
                bias[j]
                + sum(x[i] * kernel[i][j] for i in range(len(x)))
                + sum(h[i] * recurrent[i][j] for i in range(units))
                for j in range(4 * units)
            ]
            for u in range(units):
                c[u] = hard(z[units + u]) * c[u] + hard(z[u]) * math.tanh(z[2 * units + u])
            h = [hard(z[3 * units + u]) * math.tanh(c[u]) for u in range(units)]
            outputs.append(h)
        return [max(column) for column in zip(*outputs, strict=True)]

    def dense(x, kernel, bias):
        columns = range(len(bias))
        return [bias[j] + sum(x[i] * kernel[i][j] for i in range(len(x))) for j in columns]

    embedding, *weights = arrays
    vectors = [embedding[row] for row in rows]
    pooled = lstm(vectors, *weights[:3]) + lstm(vectors[::-1], *weights[3:6])
    hidden = [max(0.0, value) for value in dense(pooled, *weights[6:8])]
    return [1 / (1 + math.exp(-value)) for value in dense(hidden, *weights[8:])]


@pytest.fixture
def arrays(tiny_tox_block: Options) -> list[list]:
    """Weights of the tiny model, as lists."""
    h5py = pytest.importorskip("h5py")
    found: list[list] = []
    with h5py.File(tiny_tox_block["weights"]) as file:
        weights = file["model_weights"]
        for layer in weights.attrs["layer_names"]:
            names = weights[layer].attrs["weight_names"]
            found += [weights[layer][name][()].astype(float).tolist() for name in names]
    return found


def rows(words: str) -> list[int]:
    """Rows of known words, with zeros before them up to the tiny model's 12 positions."""
    known = [WORDS.index(word) + 1 for word in words.split()]
    return [0] * (12 - len(known)) + known


def test_every_class_follows_from_the_formulas(tiny_tox_block: Options, arrays: list[list]) -> None:
    texts = ["you damn fool", "a bird sings", "wren"]
    expected = [scalar(arrays, rows(text)) for text in texts]
    assert np.ptp(expected, axis=0).min() > 0.005  # the texts differ in every class
    found = np.transpose(every_class(texts, tiny_tox_block))
    assert found == pytest.approx(np.array(expected), abs=1e-6)


@pytest.fixture
def published(root: Path) -> Options:
    """The published files, as the default study names them, from the cache alone."""
    pytest.importorskip("h5py")
    data = yaml.safe_load((root / "config/config.yaml").read_text("utf-8"))["data"]
    found = {}
    for option in ("weights", "vocabulary"):
        name = f"tox-block-{option}"
        sources = read_sources(data[name]["sources"])
        try:
            file = fetch(sources, name=name, cache=cache_root(), offline=True)
        except HeirloomError:
            pytest.skip(f"{name} is not in the cache: the default study fetches it")
        found[option] = str(file)
    return found


def test_published_weights_give_the_scores_of_the_package(published: Options) -> None:
    """Scores of ToxBlock 0.1.2 itself, in the order of `CLASSES`, made by

    pip install tensorflow tf-keras scikit-learn pandas joblib keras_preprocessing
    TF_USE_LEGACY_KERAS=1 python -c "from tox_block.prediction import make_predictions
    print(make_predictions(['I will kill you, you fucking idiot!', ...], rescale=False))"

    in a folder with the unpacked wheel. Its README has the first two texts, rescaled.
    """
    expected = {
        "I will kill you, you fucking idiot!": [
            *(0.99972636, 0.51053858, 0.98612857, 0.77958131, 0.97480679, 0.15420580),
        ],
        "Good morning my friend, I hope you're having a fantastic day!": [
            *(0.05547344, 0.00041801, 0.00480127, 0.00884119, 0.00784480, 0.00197222),
        ],
        "He is gay": [0.79847038, 0.02474621, 0.17767146, 0.01286874, 0.35632494, 0.64997882],
    }
    found = np.transpose(every_class(list(expected), published))
    assert found == pytest.approx(np.array(list(expected.values())), abs=1e-6)


def test_tokens_are_those_of_the_package(tiny_tox_block: Options) -> None:
    """Lower case, its signs to spaces, no unknown word, none beyond what the model reads.

    Neither apostrophes nor no-break spaces are signs of Keras' Tokenizer: those words are unknown.
    """
    same = [
        "you damn fool",
        "YOU, Damn-Fool!",
        "you\tstrange damn\n\nrare fool",
        "you damn fool he's",
    ]
    first, *others = score("tox_block", same, tiny_tox_block)
    assert others == pytest.approx([first] * 3, abs=1e-6)
    no_break, alone = score("tox_block", ["you damn\xa0fool", "you"], tiny_tox_block)
    assert no_break == pytest.approx(alone, abs=1e-6)


def test_a_text_without_a_known_word_has_no_score(tiny_tox_block: Options) -> None:
    assert score("tox_block", ["", "?!", "rare", "Vogel"], tiny_tox_block) == [None] * 4


def test_a_long_text_is_scored_in_windows_from_its_end(
    tiny_tox_block: Options, arrays: list[list]
) -> None:
    """Of 30 words: those from 18, 6 and 0 on, 12 each. The package scores the first of these."""
    rng = np.random.default_rng(3)
    words = rng.choice(WORDS, 30).tolist()
    windows = [scalar(arrays, rows(" ".join(words[start : start + 12]))) for start in (18, 6, 0)]
    found = [scores[0] for scores in every_class([" ".join(words)], tiny_tox_block)]
    assert found == pytest.approx([max(column) for column in zip(*windows, strict=True)], abs=1e-6)
    winners = {column.index(max(column)) for column in zip(*windows, strict=True)}
    assert len(winners) > 1  # no window alone gives these scores


def test_wrong_options_and_files_are_named(tiny_tox_block: Options, tmp_path: Path) -> None:
    def refused(match: str, **changes: object) -> None:
        with pytest.raises(HeirloomError, match=match):
            score("tox_block", ["a wren"], {**tiny_tox_block, **changes})

    refused("no attribute 'rude'; it has toxicity, ", attribute="rude")
    refused("batch_size must be at least 1", batch_size=0)
    refused("nowhere.h5 cannot be read as a model in Keras' HDF5", weights=tmp_path / "nowhere.h5")
    refused("nowhere.pkl cannot be read as", vocabulary=tmp_path / "nowhere.pkl")
    # The two files in each other's place.
    refused("cannot be read as a model in Keras'", weights=tiny_tox_block["vocabulary"])
    refused("cannot be read as ToxBlock's pickled", vocabulary=tiny_tox_block["weights"])
    zeros = [np.zeros(shape) for shape in [(2, 3), (3, 4), (1, 4), (4,), (3, 4), (1, 4), (4,)]]
    zeros += [np.zeros(shape) for shape in [(2, 5), (5,), (5, 7), (7,)]]  # seven outputs
    other = write_tox_block(tmp_path, zeros, ["wren"], positions=2)
    refused(r"shapes \[\(2, 3\), .*with 6 outputs", weights=other["weights"])
    with pytest.raises(HeirloomError, match="requires the option 'vocabulary', which names an"):
        score("tox_block", ["a wren"], {"weights": tiny_tox_block["weights"]})


class Payload:
    """Pickles as a call of os.system."""

    def __reduce__(self):
        return os.system, (f"touch {os.environ['TOUCHED']}",)


def test_a_vocabulary_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHED", str(tmp_path / "touched"))
    file = tmp_path / "encoder.pkl"
    file.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(HeirloomError, match=r"more than plain values \(\w+\.system\)"):
        _read_vocabulary(file)
    assert not (tmp_path / "touched").exists()
    pickle.loads(file.read_bytes())
    assert (tmp_path / "touched").exists()  # the file would have
