"""Models of ToxBlock's architecture, written in its formats without its packages."""

import collections
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest

WORDS = ["a", "bird", "damn", "fool", "go", "one", "sings", "two", "wren", "you", "away"]


def write_tox_block(
    folder: Path, arrays: list[np.ndarray], words: list[str], positions: int
) -> dict[str, str]:
    """Write weights as Keras 2 does and an encoder as joblib does; return them as options."""
    h5py = pytest.importorskip("h5py")
    layers = {"embedding": 1, "bidirectional": 6, "max": 0, "dense": 2, "dense_1": 2}
    left = list(arrays)
    with h5py.File(folder / "model.h5", "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, count in layers.items():
            names = [f"{layer}/weight_{number}:0" for number in range(count)]
            group.create_group(layer).attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group[layer][name] = left.pop(0)
    index = {word: row for row, word in enumerate([*words, "rare"], start=1)}
    tokenizer = _instance(
        *("keras_preprocessing.text", "Tokenizer"),
        num_words=len(words) + 1,  # "rare" is known, and beyond what the model reads
        word_index=index,
        word_counts=collections.OrderedDict(dict.fromkeys(index, 1)),
        word_docs=collections.defaultdict(int, dict.fromkeys(index, 1)),
    )
    encoder = _instance(
        *("tox_block.data_processing.preprocessors", "TokenSequencer"),
        max_sequence_length=positions,
        tokenizer=tokenizer,
    )
    classes = {type(made).__module__: type(made) for made in (tokenizer, encoder)}
    absent = _modules(classes)  # pickle looks a class up where it says that it is
    sys.modules.update(absent)
    (folder / "encoder.pkl").write_bytes(pickle.dumps(encoder, protocol=3))
    for name in absent:
        del sys.modules[name]
    return {"weights": str(folder / "model.h5"), "vocabulary": str(folder / "encoder.pkl")}


def _instance(module: str, name: str, **attributes: object) -> object:
    """Return an object of a class that pickles under the name of a package that is not here."""
    made = type(name, (), {"__module__": module})()
    vars(made).update(attributes)
    return made


def _modules(classes: dict[str, type]) -> dict[str, types.ModuleType]:
    """Modules that hold these classes, and the packages above them."""
    made: dict[str, types.ModuleType] = {}
    for dotted, kind in classes.items():
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            made[".".join(parts[:end])] = types.ModuleType(".".join(parts[:end]))
        setattr(made[dotted], kind.__name__, kind)
    return made
