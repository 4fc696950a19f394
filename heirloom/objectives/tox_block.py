"""Toxicity from ToxBlock's bidirectional LSTM, a few megabytes that a study fetches as data."""

import collections
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heirloom.objectives import DataFile, scorer
from heirloom.support.errors import HeirloomError

if TYPE_CHECKING:
    import torch

_CLASSES = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
"""Outputs of the model in order, by the names that Detoxify has for them."""

# Keras' Tokenizer replaces these by spaces, lowers the case and splits at single spaces.
_SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))

_CAVEAT = (
    "Toxicity scorer of mentions.",
    "Toxicity is scored by a small LSTM trained on comments in Wikipedia's talk pages of the 2000s "
    "and 2010s. It reacts to mentions of identity as if they were insults (it scores \u201cHe is "
    "gay\u201d 0.80), and tells no hateful sentence from a harmless one with the same words.",
)


@scorer(
    "tox_block",
    label="Toxicity (ToxBlock)",
    unit="probability",
    direction="lower",
    needs=("h5py",),
    parameters=1_045_756,
    offensive=True,
    caveat=_CAVEAT,
)
def tox_block(
    texts: list[str],
    *,
    weights: DataFile,
    vocabulary: DataFile,
    attribute: str = "toxicity",
    batch_size: int = 256,
) -> list[float | None]:
    """Probability that a text is toxic: the maximum over its windows of 100 known words.

    P. Bliem (2020), ToxBlock 0.1.2, https://github.com/Pascal-Bliem/tox-block: a bidirectional
    LSTM over GloVe vectors, trained on the comments of Jigsaw's challenge of 2018. The six scores
    are the package's own with `rescale=False`, computed without TensorFlow.

    Words outside the vocabulary are left out, as in the package, which then keeps the last 100: a
    longer text is scored here in windows of 100 known words, counted from its end, the first one
    overlapping the second. Its score is their maximum. One pass gives all attributes: those of the
    last texts are cached.

    Args:
        texts: Texts to score.
        weights: The package's model in Keras' HDF5 format.
        vocabulary: The package's pickled encoder. Only plain values are read from it: none of its
            code can run.
        attribute: The class whose probability is the score: "toxicity", "severe_toxicity",
            "obscene", "threat", "insult" or "identity_attack".
        batch_size: Windows per forward pass.

    Returns:
        Probabilities in [0, 1]; None for a text without a known word.

    Raises:
        HeirloomError: An option has an invalid value, or a file cannot be read.
    """
    if batch_size < 1:
        raise HeirloomError(f"tox_block: batch_size must be at least 1, but is {batch_size}.")
    if attribute not in _CLASSES:
        raise HeirloomError(
            f"tox_block: the model has no attribute {attribute!r}; it has {', '.join(_CLASSES)}."
        )
    column = _CLASSES.index(attribute)
    scores = _scores(tuple(texts), Path(weights), Path(vocabulary), batch_size)
    return [None if row is None else row[column] for row in scores]


@lru_cache(maxsize=1)
def _scores(
    texts: tuple[str, ...], weights: Path, vocabulary: Path, batch_size: int
) -> list[list[float] | None]:
    """Maximum of each class over the windows of each text; None for one without a known word."""
    import torch

    words, model = _read_vocabulary(vocabulary), _read_weights(weights)
    windows, owners = [], []
    for index, text in enumerate(texts):
        for window in words.windows(text):
            windows.append(window)
            owners.append(index)
    scores: list[list[float] | None] = [None] * len(texts)
    for start in range(0, len(windows), batch_size):
        batch = torch.tensor(windows[start : start + batch_size])
        for owner, row in zip(owners[start:], model.probabilities(batch).tolist(), strict=False):
            known = scores[owner]
            scores[owner] = row if known is None else list(map(max, known, row))
    return scores


@dataclass(frozen=True)
class _Vocabulary:
    """Words with their rows of the embedding, and the number of positions that the model reads."""

    index: Mapping[str, int]
    positions: int

    def windows(self, text: str) -> list[list[int]]:
        """Windows of a text, each of `positions` rows, with zeros before a shorter text."""
        tokens = text.lower().translate(_SEPARATORS).split(" ")
        rows = [self.index[token] for token in tokens if token in self.index]
        if len(rows) <= self.positions:
            return [[0] * (self.positions - len(rows)) + rows] if rows else []
        ends = range(len(rows), 0, -self.positions)
        starts = [max(0, end - self.positions) for end in ends]
        return [rows[start : start + self.positions] for start in starts]


@dataclass(frozen=True)
class _Model:
    """The weights, as Keras stores them.

    Attributes:
        embedding: [words, embedding].
        forward: Kernel [embedding, 4 units], recurrent kernel [units, 4 units], bias [4 units] of
            the LSTM that reads from the start; the gates are input, forget, cell, output.
        backward: Likewise of the one that reads from the end.
        hidden: Kernel [2 units, hidden] and bias [hidden].
        output: Kernel [hidden, classes] and bias [classes].
    """

    embedding: "torch.Tensor"
    forward: Sequence["torch.Tensor"]
    backward: Sequence["torch.Tensor"]
    hidden: Sequence["torch.Tensor"]
    output: Sequence["torch.Tensor"]

    def probabilities(self, rows: "torch.Tensor") -> "torch.Tensor":
        """Probability of every class, [texts, classes], from rows of the embedding, [texts, n]."""
        import torch

        with torch.inference_mode():
            embedded = self.embedding[rows]
            read = [_maximum(embedded, *self.forward), _maximum(embedded.flip(1), *self.backward)]
            kernel, bias = self.hidden
            hidden = torch.relu(torch.cat(read, dim=1) @ kernel + bias)
            kernel, bias = self.output
            return torch.sigmoid(hidden @ kernel + bias)


def _maximum(
    embedded: "torch.Tensor",
    kernel: "torch.Tensor",
    recurrent: "torch.Tensor",
    bias: "torch.Tensor",
) -> "torch.Tensor":
    """Maximum over positions of an LSTM's outputs, [texts, units].

    torch's own LSTM has sigmoid gates. The gates of this model are Keras 2's hard sigmoid, which is
    clip(0.2 x + 0.5, 0, 1).

    Args:
        embedded: [texts, positions, embedding].
        kernel: See `_Model`, as for the next two.
        recurrent: Recurrent kernel.
        bias: Bias.
    """
    import torch

    inputs = (embedded @ kernel + bias).unbind(1)
    units = recurrent.shape[0]
    output = cell = embedded.new_zeros(len(embedded), units)
    maximum = embedded.new_full((len(embedded), units), -torch.inf)
    for given in inputs:
        gates = torch.addmm(given, output, recurrent)
        hard = (0.2 * gates + 0.5).clamp(0, 1)
        candidate = torch.tanh(gates[:, 2 * units : 3 * units])
        cell = hard[:, units : 2 * units] * cell + hard[:, :units] * candidate
        output = hard[:, 3 * units :] * torch.tanh(cell)
        maximum = torch.maximum(maximum, output)
    return maximum


@lru_cache(maxsize=1)
def _read_weights(file: Path) -> _Model:
    """Read the weights of a model in Keras' HDF5 format.

    Raises:
        HeirloomError: It is no such file, or of another architecture.
    """
    import h5py
    import torch

    try:
        with h5py.File(file) as stored:
            layers = [
                stored["model_weights"][n] for n in stored["model_weights"].attrs["layer_names"]
            ]
            arrays = [layer[name][()] for layer in layers for name in layer.attrs["weight_names"]]
    except (OSError, KeyError, TypeError) as error:
        raise HeirloomError(
            f"tox_block: {file} cannot be read as a model in Keras' HDF5 format: {error}"
        ) from error
    tensors = [torch.from_numpy(array) for array in arrays]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if not _fits(shapes):
        raise HeirloomError(
            f"tox_block: {file} has weights of the shapes {shapes}, not those of an embedding, a "
            f"bidirectional LSTM and two dense layers with {len(_CLASSES)} outputs."
        )
    return _Model(tensors[0], tensors[1:4], tensors[4:7], tensors[7:9], tensors[9:])


def _fits(shapes: list[tuple[int, ...]]) -> bool:
    """Return True if weights of these shapes are those of the model."""
    if len(shapes) != 11 or any(len(shapes[n]) != 2 for n in (0, 2, 7)):
        return False
    embedding, units, hidden = shapes[0][1], shapes[2][0], shapes[7][1]
    lstm = [(embedding, 4 * units), (units, 4 * units), (4 * units,)]
    dense = [(2 * units, hidden), (hidden,), (hidden, len(_CLASSES)), (len(_CLASSES),)]
    return shapes[1:] == [*lstm, *lstm, *dense]


@lru_cache(maxsize=1)
def _read_vocabulary(file: Path) -> _Vocabulary:
    """Read the vocabulary of a pickled encoder, without running code that it may contain.

    Raises:
        HeirloomError: It is no such file, or holds other objects.
    """
    try:
        with file.open("rb") as stored:
            encoder = _PlainUnpickler(stored).load()
        tokenizer = encoder.tokenizer
        most = int(tokenizer.num_words)
        index = {word: row for word, row in tokenizer.word_index.items() if row < most}
        return _Vocabulary(index, int(encoder.max_sequence_length))
    except HeirloomError:
        raise
    except Exception as error:  # any error that damaged bytes can cause
        raise HeirloomError(
            f"tox_block: {file} cannot be read as ToxBlock's pickled encoder "
            f"({type(error).__name__}: {error})."
        ) from error


class _Attributes:
    """Stands for the classes of a pickled encoder: attributes, and no code."""


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values and containers; any other class is refused."""

    _admitted: Mapping[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "defaultdict"): collections.defaultdict,
        ("builtins", "int"): int,
        ("tox_block.data_processing.preprocessors", "TokenSequencer"): _Attributes,
        ("keras_preprocessing.text", "Tokenizer"): _Attributes,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an admitted class.

        Raises:
            HeirloomError: It is not admitted.
        """
        if (module, name) not in self._admitted:
            raise HeirloomError(
                f"tox_block: the vocabulary holds more than plain values ({module}.{name}). "
                "Reading it could run code, so it is not read: fetch the published file by its "
                "checksum."
            )
        return self._admitted[module, name]
