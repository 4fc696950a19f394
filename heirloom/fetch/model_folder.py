"""Files of a model folder: those that are loaded, and folders that are no model or not whole."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
WAY_OUT = (
    "A model is a folder with config.json and *.safetensors, or one .gguf file; nothing else is "
    "loaded, and no code of a model is run unless the study says `trust_remote_code`."
)
SPLIT_GGUF = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
JOIN_SPLIT = (
    "Join the parts with llama.cpp (llama-gguf-split --merge FIRST_PART NEW_FILE) and name the "
    "file that it writes."
)
LFS_POINTER = b"version https://git-lfs"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_OTHER = ("*.h5", "*.msgpack", "*.onnx", "*.tflite")


def not_a_model(names: Collection[str]) -> str | None:
    """Tell from the names of its files why a folder is no model that can be loaded.

    Args:
        names: Files of the folder, without those of its sub-folders.

    Returns:
        The rest of a sentence about it, and the way out; None if nothing is wrong with the names.
    """
    if "adapter_config.json" in names:
        return (
            "is an adapter (adapter_config.json), not a model: name the model of the study that it "
            "was trained on as its `base`, into which a LoRA adapter is merged here. Where the "
            "folder is a whole model and holds an adapter besides, name a copy without "
            "adapter_config.json"
        )
    if CONFIG in names and not {WEIGHTS, INDEX}.isdisjoint(names):
        return None
    pickled, other = _matching(names, _PICKLED), _matching(names, _OTHER)
    packed = _matching(names, ("*.gguf",))
    tensors = _matching(names, ("*.safetensors",))
    if any(SPLIT_GGUF.search(name) for name in packed):
        return f"has a model in parts ({', '.join(packed)}). {JOIN_SPLIT}"
    if packed:
        return f"has {', '.join(packed)}: name the one .gguf file to use, not its folder"
    if tensors:
        lacking = CONFIG if CONFIG not in names else f"{WEIGHTS} or {INDEX}"
        return (
            f"has {', '.join(tensors)} but no {lacking}: name the model in the form that "
            "transformers loads (its save_pretrained writes it)"
        )
    if pickled:
        return (
            f"has pickled weights only ({', '.join(pickled)}), which could run any code: name a "
            "revision that has *.safetensors, or convert a model that you trust with "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    if other:
        return f"has weights for another framework only ({', '.join(other)})"
    if CONFIG not in names:
        return f"has no {CONFIG}"
    return "has no weights (*.safetensors)"


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no model, or whose files of weights are not whole.

    Raises:
        HeirloomError: It says what the folder is, and the way out.
    """
    names = [path.name for path in folder.iterdir() if path.is_file()]
    problem = not_a_model(names)
    if problem:
        raise HeirloomError(f"{folder} {problem}. {WAY_OUT}")
    pointers = [name for name in sorted(names) if _is_pointer(folder / name)]
    if pointers:
        raise HeirloomError(
            f"{folder}: {', '.join(pointers)} stand for files that Git LFS has not fetched: run "
            "git lfs pull in there."
        )
    files = weight_files(folder)
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise HeirloomError(
            f"{folder / INDEX} names files that are not there: {_named(absent)}. Fetch the model "
            "again, whole."
        )
    held = {file.name: _tensors(file) for file in files}
    if not (folder / WEIGHTS).is_file():
        _check_index(folder, held)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that the weights in a folder are loaded from, be they there or not.

    Others, such as the same weights in their maker's own format, are not loaded.

    Raises:
        HeirloomError: The index cannot be read.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return [folder / name for name in sorted(set(weight_map(folder / INDEX).values()))]
    return []


def weight_map(index: Path) -> dict[str, str]:
    """Return the file of each tensor by an index.

    Raises:
        HeirloomError: It cannot be read, or has another form.
    """
    described = read_json(index)
    found = described.get("weight_map") if isinstance(described, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise HeirloomError(f"{index} is no index of weights: fetch the model again, whole.")
    return found


def check_code(folder: Path) -> None:
    """Refuse code from another repository, of which the study pins no revision.

    transformers denotes such code by `organisation/name--module.Class`, and would fetch the newest.

    Raises:
        HeirloomError: Code would come from elsewhere.
    """
    for file in sorted(folder.glob("*.json")):
        settings = read_json(file)
        classes = settings.get("auto_map", {}) if isinstance(settings, dict) else {}
        elsewhere = sorted({name for name in _texts(classes) if "--" in name})
        if elsewhere:
            raise HeirloomError(
                f"{file} takes code from another repository ({', '.join(elsewhere)}), which the "
                "revision of this one does not pin. Name a model that brings its own code, or a "
                "copy of it that does."
            )


def _check_index(folder: Path, held: dict[str, list[str]]) -> None:
    """Refuse shards that do not hold the tensors that their index says."""
    index = folder / INDEX
    stale = [name for name, file in weight_map(index).items() if name not in held[file]]
    if stale:
        raise HeirloomError(
            f"{index} does not describe the files beside it: {_named(stale)} "
            "would not be where it says. Fetch the model again, whole."
        )
    counts = Counter(name for names in held.values() for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise HeirloomError(
            f"{folder} has {_named(twice)} in more than one file, and nothing tells the right one. "
            "Fetch the model again, into an empty folder."
        )


def _tensors(file: Path) -> list[str]:
    """Return the names of the tensors in a file that is whole.

    Raises:
        HeirloomError: It is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise HeirloomError(
            f"{file} ({file.stat().st_size} bytes) is empty, truncated or damaged: {error}. Fetch "
            "it again."
        ) from error


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as handle:
        return handle.read(len(LFS_POINTER)) == LFS_POINTER


def _matching(names: Collection[str], patterns: Collection[str]) -> list[str]:
    return sorted(name for name in names if any(fnmatch(name, pattern) for pattern in patterns))


def _named(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
