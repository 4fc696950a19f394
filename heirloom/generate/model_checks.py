"""Checks of a model once it is fetched, before any other job uses it: one function for each.

A check raises a HeirloomError that names the model, what is wrong with it, and the way out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from heirloom.fetch.weights import loading_report, require_weights
from heirloom.generate.model import best_device
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json

# Where quantised models say so, and the method of those that do not name it.
_QUANTIZED_BY_KEY = {
    "quantization_config": "bitsandbytes",
    "compression_config": "compressed-tensors",
    "quantization": "mlx",
}
_QUANTIZED_BY_FILE = {
    "quantize_config.json": "gptq",
    "quant_config.json": "awq",
    "hf_quant_config.json": "modelopt",
}


@dataclass(frozen=True)
class Fetched:
    """A model that was fetched, as the checks see it.

    Attributes:
        name: Its name in the study.
        folder: Its folder of safetensors.
        prompt_template: Form in which the study shows it an instruction.
        trust_remote_code: Python code in `folder` may run.
        gpu: True if the jobs that load it have a GPU.
    """

    name: str
    folder: Path
    prompt_template: PromptTemplate
    trust_remote_code: bool
    gpu: bool


@dataclass(frozen=True)
class Checks:
    """All checks of one model, which may not be there yet; attributes as of `Fetched`."""

    name: str
    prompt_template: PromptTemplate = field(default_factory=PromptTemplate)
    trust_remote_code: bool = False
    gpu: bool = False

    @classmethod
    def read(cls, name: str, template: Record, *, trust_remote_code: bool, gpu: bool) -> "Checks":
        """Make the checks of a model; `template` holds the fields of its `PromptTemplate`."""
        return cls(name, PromptTemplate(**template), trust_remote_code, gpu)

    def __call__(self, folder: Path) -> None:
        """Refuse a model that no job could use, or only with a wrong result.

        Raises:
            HeirloomError: A check failed.
        """
        model = Fetched(folder=folder, **vars(self))
        for check in CHECKS:
            check(model)


def quantization(folder: Path) -> str | None:
    """Return the method that the weights in a folder are quantised by; None if they are not."""
    config = read_json(folder / "config.json")
    for part in (config, *(inner for inner in config.values() if isinstance(inner, dict))):
        for key, usual in _QUANTIZED_BY_KEY.items():
            if isinstance(part.get(key), dict) and part[key]:
                return str(part[key].get("quant_method", usual))
    for file, method in _QUANTIZED_BY_FILE.items():
        if (folder / file).is_file():
            return method
    return None


def check_quantization(model: Fetched) -> None:
    """Refuse quantised weights where there is no GPU."""
    method = quantization(model.folder)
    if method and not model.gpu and best_device().type != "cuda":
        raise HeirloomError(
            f"model {model.name!r}: the weights in {model.folder} are quantised ({method}), which "
            "needs a GPU, and there is none. Name the model in its original precision, or as one "
            ".gguf file, which is dequantised here; or run on a GPU (profiles/README.md)."
        )


def check_weights(model: Fetched) -> None:
    """Refuse weights that are not all there, or not of the configuration's shapes."""
    if quantization(model.folder):
        return  # read by the library of the method alone: `load_model` checks them
    try:
        report = loading_report(model.folder, trust_remote_code=model.trust_remote_code)
    except Exception as error:  # transformers and safetensors each raise their own
        # Of an architecture that generates no text, all that do are listed in further lines.
        first = str(error).partition("\n")[0]
        raise HeirloomError(
            f"model {model.name!r} in {model.folder} cannot be loaded "
            f"({type(error).__name__}: {first}). Name a causal language model of an architecture "
            "that transformers has, whole and undamaged."
        ) from error
    require_weights(report, model.folder)


CHECKS: tuple[Callable[[Fetched], None], ...] = (check_quantization, check_weights)
