"""Convert a model to the form that every stage loads: a folder of safetensors."""

import logging
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from heirloom.fetch.cache import build_once, cache_path
from heirloom.fetch.model_folder import (
    JOIN_SPLIT,
    LFS_POINTER,
    WAY_OUT,
    check_code,
    check_folder,
)
from heirloom.fetch.weights import require_weights
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, sha256

logger = logging.getLogger(__name__)

_NO_MODEL = {
    "mmproj": "the image or sound encoder (mmproj) of a multimodal model",
    "clip": "the image or sound encoder (mmproj) of a multimodal model",
    "adapter": "an adapter (LoRA), not a model",
    "imatrix": "an importance matrix, not a model",
}
_SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}


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
        check_folder(artefact)
        if trust_remote_code:
            check_code(artefact)
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


def _check_magic(file: Path) -> None:
    try:
        with file.open("rb") as handle:
            magic = handle.read(4)
    except OSError as error:
        raise HeirloomError(f"{file} could not be read: {error.strerror}. {WAY_OUT}") from error
    if magic == LFS_POINTER[:4]:
        raise HeirloomError(
            f"{file} stands for a file that Git LFS has not fetched: run git lfs pull there."
        )
    if magic != b"GGUF":
        raise HeirloomError(f"{file} is not a GGUF file (it starts with {magic!r}). {WAY_OUT}")


def _convert(file: Path, folder: Path, *, dtype: str) -> int:
    """Dequantise `file` into `folder`; return the number of parameters."""
    # transformers knows a GGUF file by the end of its name, and one downloaded may have another.
    link = folder / "model.gguf"
    link.symlink_to(file.resolve())
    try:
        model, tokenizer = _load(folder, link.name, dtype=dtype)
    except (HeirloomError, ImportError, MemoryError):  # said already, or not the file's fault
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

    reader = gguf.GGUFReader
    gguf.GGUFReader = cache(reader)  # transformers looks it up there each time
    try:
        _check_kind(gguf.GGUFReader(str(folder / file)), (folder / file).resolve())
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            folder, gguf_file=file, local_files_only=True
        )
        config = AutoConfig.from_pretrained(folder, gguf_file=file, local_files_only=True)
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=file,
            config=config,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # in the report, instead of an exception without names
            local_files_only=True,
        )
    finally:
        gguf.GGUFReader = reader
    require_weights(loaded, (folder / file).resolve())
    return model, tokenizer


def _check_kind(header: Any, file: Path) -> None:
    """Refuse GGUF files that are a part of a model or no model.

    Args:
        header: The file, read by `gguf.GGUFReader`.
        file: Its path, for messages.

    Raises:
        HeirloomError: It says what the file is, and the way out.
    """

    def value(key: str) -> Any:
        field = header.get_field(key)
        return field.contents() if field else None

    parts = value("split.count") or 1
    if parts > 1:
        raise HeirloomError(
            f"{file} is part {value('split.no') + 1} of {parts} of a model. {JOIN_SPLIT}"
        )
    kinds = {value("general.type"), str(value("general.architecture")).partition("-")[0]}
    for kind, meaning in _NO_MODEL.items():
        if kind in kinds:
            raise HeirloomError(f"{file} is {meaning}: name the .gguf file of the model itself.")
    if not header.tensors:
        raise HeirloomError(f"{file} has no weights: name the .gguf file of the model itself.")
