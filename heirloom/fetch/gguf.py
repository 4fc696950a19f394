"""Convert a model to the form that every stage loads: a folder of safetensors."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from heirloom.fetch.cache import build_once, cache_path
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256

logger = logging.getLogger(__name__)

_SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_WAY_OUT = (
    "A model is a folder with config.json and *.safetensors, or one .gguf file; nothing else is "
    "loaded, and no code of a model is run unless the study says `trust_remote_code`."
)


def prepare_model(
    artefact: str | Path,
    *,
    name: str,
    cache: str | Path,
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
    trust_remote_code: bool = False,
) -> Path:
    """Return a folder that transformers can load, converting a GGUF file the first time.

    A GGUF file is dequantised and saved, with its tokenizer, under
    `cache/models/{name}-{checksum}-{dtype}/`; later calls, of other processes too, reuse that.

    Args:
        artefact: A model folder (returned as it is) or a GGUF file.
        name: Name of the model in the cache and in messages.
        cache: The folder that studies and clones share.
        dtype: Number format of the weights that are saved.
        trust_remote_code: Python code in a model folder will be run.

    Raises:
        HeirloomError: The artefact is no model of these two kinds, the GGUF file is damaged or of
            an architecture that transformers cannot read, the cache cannot be written, or trusted
            code would come from elsewhere.
    """
    artefact = Path(artefact)
    if artefact.is_dir():
        _check_folder(artefact)
        if trust_remote_code:
            _check_code(artefact)
        return artefact
    _check_magic(artefact)
    checksum = sha256(artefact)
    location = cache_path("models", f"{name}-{checksum[:12]}-{_SHORT[dtype]}", root=cache)

    def build(folder: Path) -> Record:
        logger.info("%s: converting %s to %s safetensors, once", name, artefact, dtype)
        n_parameters = _convert(artefact, folder, dtype=dtype)
        return {
            "name": name,
            "file": artefact.name,
            "sha256": checksum,
            "dtype": dtype,
            "n_parameters": n_parameters,
            "versions": {package: version(package) for package in ("transformers", "gguf")},
            "converted": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    build_once(location, build)
    return location


def _check_folder(folder: Path) -> None:
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    packed = sorted(path.name for path in folder.glob("*.gguf"))
    if packed:
        problem = f"has {', '.join(packed)}: name the one .gguf file to use, not its folder"
    elif pickled:
        problem = f"has pickled weights only ({', '.join(pickled)}), which could run any code"
    elif not (folder / "config.json").is_file():
        problem = "has no config.json"
    else:
        problem = "has no weights (*.safetensors)"
    raise HeirloomError(f"{folder} {problem}. {_WAY_OUT}")


def _check_code(folder: Path) -> None:
    """Refuse code from another repository, of which the study pins no revision.

    transformers denotes such code by `organisation/name--module.Class`, and would fetch the newest.
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


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _check_magic(file: Path) -> None:
    try:
        with file.open("rb") as handle:
            magic = handle.read(4)
    except OSError as error:
        raise HeirloomError(f"{file} could not be read: {error.strerror}. {_WAY_OUT}") from error
    if magic != b"GGUF":
        raise HeirloomError(f"{file} is not a GGUF file (it starts with {magic!r}). {_WAY_OUT}")


def _convert(file: Path, folder: Path, *, dtype: str) -> int:
    """Dequantise `file` into `folder`; return the number of parameters."""
    # transformers knows a GGUF file by the end of its name, and one downloaded may have another.
    link = folder / "model.gguf"
    link.symlink_to(file.resolve())
    try:
        model, tokenizer = _load(folder, link.name, dtype=dtype)
    except (ImportError, MemoryError):  # not the file's fault
        raise
    except Exception as error:  # any error that a damaged file can cause
        raise HeirloomError(
            f"{file} ({file.stat().st_size} bytes) could not be read as a GGUF model "
            f"({type(error).__name__}: {error}). It is damaged, truncated, or of an architecture "
            "that transformers does not read from GGUF: check its sha256, fetch it again, or use "
            "the model's safetensors."
        ) from error
    link.unlink()
    tokenizer.save_pretrained(folder)
    try:
        model.save_pretrained(folder)
    except Exception as error:  # safetensors reports a full disk with an exception of its own
        raise HeirloomError(
            f"the model converted from {file} could not be written under {folder.parent}: {error}. "
            "Free some space, or point HEIRLOOM_CACHE at another folder."
        ) from error
    for weights in folder.glob("*.safetensors"):
        # safetensors lets only the owner read; others may share this cache.
        weights.chmod((folder / "config.json").stat().st_mode)
    return int(model.num_parameters())


def _load(folder: Path, file: str, *, dtype: str) -> tuple[Any, Any]:
    """Load model and tokenizer of a GGUF file.

    Reading a GGUF header is slow, as it holds the whole vocabulary (12 s for that of Gemma), and
    left to themselves AutoTokenizer and AutoModelForCausalLM each read it once more for the
    configuration, and once for the weights. Here the model is handed the configuration, the
    tokenizer is loaded by its general class, which takes everything from the file's own vocabulary,
    and the reader's work is kept between the other two.
    """
    import gguf
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        GgufConfig,
        PreTrainedTokenizerFast,
    )

    # The quick one first: a damaged header shows at once.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        folder, gguf_file=file, local_files_only=True
    )
    reader = gguf.GGUFReader
    gguf.GGUFReader = cache(reader)  # transformers looks it up there each time
    try:
        config = AutoConfig.from_pretrained(folder, gguf_file=file, local_files_only=True)
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=file,
            config=config,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
            local_files_only=True,
        )
    finally:
        gguf.GGUFReader = reader
    if loaded["missing_keys"]:
        raise ValueError(f"no weights for {', '.join(sorted(loaded['missing_keys'])[:5])}")
    return model, tokenizer
