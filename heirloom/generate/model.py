"""Load a causal language model, with a student's adapter merged into it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from heirloom.generate.backends import openvino as openvino_decoding
from heirloom.generate.backends import vllm as vllm_server
from heirloom.generate.backends.decoder import Backend, Decoder, Weights
from heirloom.generate.backends.openvino import OpenVinoDecoder
from heirloom.generate.backends.openvino_graph import UnconvertibleError
from heirloom.generate.backends.transformers import TransformersDecoder
from heirloom.generate.templates import PromptTemplate, encode_prompt
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LanguageModel:
    """A model ready to score and to generate: weights, tokenizer and prompt template.

    `adapter_sha256` tells the students of one base apart; it is None without an adapter. `backend`
    and `weights` say what generates, see `load_model`; scoring is always the network's.
    """

    name: str
    network: Any
    tokenizer: Any
    prompt_template: PromptTemplate
    adapter_sha256: str | None = None
    backend: Backend = "auto"
    weights: Weights = "model"

    @cached_property
    def decoder(self) -> Decoder:
        """What generates; made at its first use, which takes seconds with OpenVINO.

        Raises:
            HeirloomError: OpenVINO is needed, by `backend` or `weights`, and cannot run the model.
        """
        needed = self._needs_openvino
        if self.backend == "transformers":
            reason = "the study asks for it"
        elif not needed and self.device.type != "cpu":
            reason = "there is a GPU"
        elif not openvino_decoding.installed():
            reason = "OpenVINO is not installed"
        else:
            try:
                return OpenVinoDecoder(self.network, self.tokenizer.pad_token_id, self.weights)
            except UnconvertibleError as error:
                if needed:
                    raise HeirloomError(
                        f"model {self.name!r} cannot be converted to OpenVINO: {error}. Set "
                        "generation.backend: transformers and generation.weights: model."
                    ) from error
                reason = f"it cannot be converted to OpenVINO: {error}"
        logger.info("%s generates with transformers: %s", self.name, reason)
        return TransformersDecoder(self.network, self.tokenizer.pad_token_id)

    @property
    def decoder_identity(self) -> Mapping[str, str]:
        """The identity of `decoder`, which is made for it only where the settings leave it open."""
        if self.backend == "transformers":
            return TransformersDecoder.identity
        if self.backend == "vllm":
            return {"backend": "vllm", "weights": "model"}
        if self._needs_openvino:
            return openvino_decoding.identity(self.weights)
        return self.decoder.identity

    @property
    def _needs_openvino(self) -> bool:
        return self.backend == "openvino" or self.weights == "int8"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.network.device
        return device

    @property
    def context_length(self) -> int:
        """Most tokens, prompt and completion together, that the model was made for."""
        return int(self.network.config.max_position_embeddings)

    @property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end a completion."""
        declared = self.network.generation_config.eos_token_id
        if declared is None:
            declared = []
        elif isinstance(declared, int):
            declared = [declared]
        return frozenset([*declared, self.tokenizer.eos_token_id]) - {None}

    def encode_prompt(self, text: str, format: Format) -> list[int]:
        """The prompt's token ids, up to where the completion starts. See `encode_prompt`."""
        return encode_prompt(self.tokenizer, self.prompt_template, text, format)

    def decode_completion(self, prompt: list[int], tokens: Sequence[int], format: Format) -> str:
        """The text of generated tokens, without special tokens, stop text and space around it."""
        tokens = [token for token in tokens if token not in self.end_tokens]
        if format == "continuation":
            # Decoded behind its prompt: some tokenizers drop the space at the start of a text.
            before = self.tokenizer.decode(prompt, skip_special_tokens=True)
            text = self.tokenizer.decode(prompt + tokens, skip_special_tokens=True)[len(before) :]
        else:
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        ends = [text.find(stop) for stop in self.prompt_template.stop if stop in text]
        text = str(text[: min(ends, default=len(text))])
        return text.rstrip() if format == "continuation" else text.strip()


def best_device() -> torch.device:
    """The GPU if there is one that this process may use, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_dtype(
    dtype: str, device: torch.device, *, cpuinfo: Path = Path("/proc/cpuinfo")
) -> torch.dtype:
    """`"auto"`: bfloat16 where it is faster than float32, else that. Others: torch's names."""
    if dtype != "auto":
        resolved: torch.dtype = getattr(torch, dtype)
        return resolved
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = _fast_bfloat16(cpuinfo)
    return torch.bfloat16 if native else torch.float32


def _fast_bfloat16(cpuinfo: Path) -> bool:
    """Whether a processor multiplies matrices faster in bfloat16 than in float32.

    Having the instructions is not enough. Intel's processors with AVX-512 bf16 but no AMX run them
    at half the rate of float32's: 81 against 146 GFLOP/s on one core of a Xeon of 2023.
    """
    if not cpuinfo.exists():
        return False
    text = cpuinfo.read_text()
    flags = set(text.split())
    if "GenuineIntel" in flags:
        return "amx_bf16" in flags
    return not flags.isdisjoint({"avx512_bf16", "bf16"})


def load_model(
    folder: str | Path,
    *,
    name: str,
    prompt_template: PromptTemplate,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    backend: Backend = "auto",
    weights: Weights = "model",
    writes_only: bool = False,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a model for inference, with a student's adapter merged into it.

    Args:
        folder: Folder with config, safetensors weights and tokenizer.
        name: The model's name in the study, for messages.
        prompt_template: How the model is shown an instruction.
        adapter: Folder of a PEFT adapter. It is merged in float32 and rounded once, so that a
            student generates as fast as its base.
        dtype: `"auto"`, `"bfloat16"` or `"float32"`; see `resolve_dtype`.
        backend: What generates: `"transformers"`, `"openvino"`, `"vllm"`, or `"auto"`: OpenVINO on
            a processor, if it is installed and can run the model, else transformers.
        weights: To generate with: `"model"`, the weights as they are, or `"int8"`, rounded; see
            `OpenVinoDecoder`, which alone can.
        writes_only: The model is to write and nothing else, so where vLLM does that, which loads
            the weights itself, they are not loaded here.
        trust_remote_code: Whether Python code in `folder` may run.

    Raises:
        HeirloomError: a file is missing or damaged, or OpenVINO or vLLM is, where it is needed.
    """
    from transformers import AutoModelForCausalLM

    _require_backend(backend, weights)
    device = best_device()
    resolved = resolve_dtype(dtype, device)
    try:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        if backend == "vllm" and writes_only:
            network = _without_weights(folder, resolved)
            return LanguageModel(name, network, tokenizer, prompt_template, None, backend)
        network = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if adapter else resolved,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
        if adapter:
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, adapter).merge_and_unload().to(resolved)
    except Exception as error:  # safetensors, transformers and peft each raise their own
        raise HeirloomError(
            f"model {name!r} could not be loaded from {adapter or folder}: {error}. If a file is "
            "damaged, put it right and run the same command again; what lies in the cache or under "
            "results/ may be deleted and is then made anew."
        ) from error
    identity = sha256(Path(adapter) / "adapter_model.safetensors") if adapter else None
    network = network.eval().to(device)
    if device.type == "cpu" and resolved == torch.float32:
        _transpose_in_memory(network)
    return LanguageModel(name, network, tokenizer, prompt_template, identity, backend, weights)


def _require_backend(backend: Backend, weights: Weights) -> None:
    if weights == "int8" and backend in ("transformers", "vllm"):
        raise HeirloomError(
            f"generation.weights: int8 is OpenVINO's, but generation.backend is {backend}; set "
            "that to auto, or weights to model."
        )
    if backend == "vllm" and not vllm_server.installed():
        raise HeirloomError(
            f"generation.backend is vllm, but there is no command {vllm_server.command()[0]}. "
            "Install vLLM into an environment of its own and put the command that starts its "
            f"server into ${vllm_server.COMMAND} (config/README.md)."
        )
    if (weights == "int8" or backend == "openvino") and not openvino_decoding.installed():
        raise HeirloomError(
            f"generation with backend {backend} and weights {weights} needs OpenVINO, which is not "
            "installed: pip install openvino. Another back end or weights would write other texts."
        )


def _without_weights(folder: str | Path, dtype: torch.dtype) -> Any:
    """The network's shape and settings alone, on torch's device `meta`."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(folder, dtype=dtype)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    if (Path(folder) / "generation_config.json").exists():
        network.generation_config = GenerationConfig.from_pretrained(folder)
    return network


def _transpose_in_memory(network: Any) -> None:
    """Lay the weights of the inner layers out by column, each tensor as it is to whoever uses it.

    On a processor the float32 product of a batch of 48 to 80 tokens with them is then a quarter to
    a third faster. The head is not: it is so wide that the other layout is the better one.
    """
    head = network.get_output_embeddings()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def load_tokenizer(folder: str | Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer in `folder`, padding on the left, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, padding_side="left", trust_remote_code=trust_remote_code
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
