"""Load a causal language model, with a student's adapter merged into it.

torch and transformers are imported when a model is loaded: the study file's settings are read in
processes that load none.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from heirloom.fetch.weights import require_weights
from heirloom.generate.merge import merge, rounded
from heirloom.generate.reasoning import telling
from heirloom.generate.templates import PromptTemplate, closing_of, encode_prompt, end_of_turn
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import sha256
from heirloom.support.machine import fast_bfloat16

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Weights = Literal["model", "int8"]
# Names of the most tokens in the configurations of different architectures. Those with a state
# instead of a cache, such as Mamba, state none.
_CONTEXT_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "model_max_length",
)
Made = TypeVar("Made")


@dataclass(frozen=True)
class Engine:
    """Back end and weights that a model generates with; scoring always uses the model itself.

    Attributes:
        backend: Name of a back end, see `heirloom.generate.backends`.
        weights: `"model"`: the weights as they are; `"int8"`: int8-quantised.
    """

    backend: str = "auto"
    weights: Weights = "model"


AUTO = Engine()


@dataclass(frozen=True)
class LanguageModel:
    """A model ready to score and to generate: weights, tokenizer and prompt template.

    Attributes:
        name: The model's name in the study, for messages.
        network: A causal language model of transformers. Without weights (on torch's device
            `meta`) where the back end reads them itself, see `load_shape`.
        tokenizer: Its tokenizer.
        prompt_template: Form in which it is shown an instruction.
        adapter_sha256: Tells the students of one base apart; None without an adapter.
        engine: Back end and weights to generate with.
        notes: Ways of computing other than the usual, with their reasons; see `note`.
    """

    name: str
    network: Any
    tokenizer: Any
    prompt_template: PromptTemplate
    adapter_sha256: str | None = None
    engine: Engine = AUTO
    notes: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def keep(self, key: str, make: Callable[[], Made]) -> Made:
        """Return what a back end makes of the model once and uses again, such as a conversion.

        Args:
            key: Name of the back end.
            make: Called the first time.
        """
        if key not in self._kept:
            self._kept[key] = make()
        kept: Made = self._kept[key]
        return kept

    def note(self, subject: str, text: str) -> None:
        """Note, for a profile, that something is computed in another way than usual.

        Args:
            subject: `"generation"` or `"likelihood"`.
            text: The way, and why.
        """
        if subject not in self.notes:
            logger.warning("%s is %s", self.name, text)
        self.notes[subject] = text

    @property
    def device(self) -> "torch.device":
        """Device of the weights."""
        device: torch.device = self.network.device
        return device

    @property
    def context_length(self) -> float:
        """Most tokens, prompt and completion together; infinite where the model states no limit."""
        config = self.network.config.get_text_config()
        stated = (getattr(config, name, None) for name in _CONTEXT_LENGTHS)
        return next((n for n in stated if isinstance(n, int) and n > 0), math.inf)

    @property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end a completion: the model's, the tokenizer's and the template's."""
        declared = self.network.generation_config.eos_token_id
        if declared is None:
            declared = []
        elif isinstance(declared, int):
            declared = [declared]
        turn = end_of_turn(self.tokenizer, self.prompt_template)
        return frozenset([*declared, self.tokenizer.eos_token_id, turn]) - {None}

    def encode_prompt(self, text: str, format: Format, *, answer: bool = False) -> list[int]:
        """Return the prompt's token ids, up to where the completion starts.

        Args:
            text: The prompt.
            format: Of the prompt.
            answer: See `heirloom.generate.templates.encode_prompt`.
        """
        return encode_prompt(self.tokenizer, self.prompt_template, text, format, answer=answer)

    def begins_inside(self, text: str, format: Format) -> bool:
        """Tell if the completion of a prompt begins inside a block of reasoning."""
        return closing_of(self.tokenizer, self.prompt_template, text, format) is not None

    def decode_completion(self, prompt: list[int], tokens: Sequence[int], format: Format) -> str:
        """Return the text of generated tokens, without special tokens, stop text and space around.

        Special tokens that tell reasoning from the answer stay.

        Args:
            prompt: Token ids of the prompt.
            tokens: Token ids generated after it.
            format: Of the prompt; a continuation keeps the space before it.
        """
        end_tokens = self.end_tokens
        tokens = [token for token in tokens if token not in end_tokens]
        if format == "continuation":
            # Decoded behind its prompt: some tokenizers drop the space at the start of a text.
            before = self.tokenizer.decode(prompt, skip_special_tokens=True)
            text = self.tokenizer.decode(prompt + tokens, skip_special_tokens=True)[len(before) :]
        else:
            text = self._decode(tokens)
        ends = [text.find(stop) for stop in self.prompt_template.stop if stop in text]
        text = str(text[: min(ends, default=len(text))])
        return text.rstrip() if format == "continuation" else text.strip()

    def _decode(self, tokens: list[int]) -> str:
        """Return the text of tokens; special ones stay where they delimit reasoning."""
        special = self.keep("special tokens", self._special_tokens)
        shown = telling(special[token] for token in tokens if token in special)
        if shown:
            tokens = [token for token in tokens if special.get(token, "") in shown | {""}]
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=not shown)
        return text

    def _special_tokens(self) -> dict[int, str]:
        added: dict[int, Any] = getattr(self.tokenizer, "added_tokens_decoder", {})
        return {number: token.content for number, token in added.items() if token.special}


def best_device() -> "torch.device":
    """Return the GPU if there is one that this process may use, else the processor."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_dtype(
    dtype: str, device: "torch.device", *, cpuinfo: Path = Path("/proc/cpuinfo")
) -> "torch.dtype":
    """Return the number format to load a model in.

    Args:
        dtype: `"auto"`: bfloat16 where it is faster than float32, else that. Others: torch's names.
        device: Device that the model will be on.
        cpuinfo: Where Linux describes the processor.
    """
    import torch

    if dtype != "auto":
        resolved: torch.dtype = getattr(torch, dtype)
        return resolved
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = fast_bfloat16(cpuinfo)
    return torch.bfloat16 if native else torch.float32


def load_model(
    folder: str | Path,
    *,
    name: str,
    prompt_template: PromptTemplate,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    engine: Engine = AUTO,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a model for inference, with a student's adapter merged into it.

    Args:
        folder: Folder with config, safetensors weights and tokenizer.
        name: The model's name in the study, for messages.
        prompt_template: Form in which the model is shown an instruction.
        adapter: Folder of a PEFT adapter. It is merged in float32 and rounded once, so that a
            student generates as fast as its base.
        dtype: `"auto"`, `"bfloat16"` or `"float32"`; see `resolve_dtype`.
        engine: Back end and weights to generate with.
        trust_remote_code: Allow Python code in `folder` to run.

    Raises:
        HeirloomError: A file is missing or damaged, or lacks weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from heirloom.generate.products import speed_up_products
    from heirloom.generate.shortcuts import require_causal

    device = best_device()
    resolved = resolve_dtype(dtype, device)
    try:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        network, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if adapter else resolved,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # in the report, instead of an exception without names
        )
        check_rows(tokenizer, network.config)
        if adapter:
            network = rounded(merge(network, adapter), resolved)
    except HeirloomError as error:
        raise HeirloomError(f"model {name!r} cannot be used: {error}") from error
    except Exception as error:  # safetensors, transformers and peft each raise their own
        raise _unloadable(name, adapter or folder, error) from error
    require_weights(report, folder)
    identity = sha256(Path(adapter) / "adapter_model.safetensors") if adapter else None
    network = network.eval().to(device)
    require_causal(network, name)
    if device.type == "cpu" and resolved == torch.float32:
        _transpose_in_memory(network)
    speed_up_products(network, device)
    return LanguageModel(name, network, tokenizer, prompt_template, identity, engine)


def load_shape(
    folder: str | Path, *, name: str, prompt_template: PromptTemplate, dtype: str, engine: Engine
) -> LanguageModel:
    """Load a model without its weights, for a back end that reads them itself.

    Args:
        folder: As in `load_model`, and so are the others.

    Raises:
        HeirloomError: A file is missing or damaged.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    try:
        tokenizer = load_tokenizer(folder)
        config = AutoConfig.from_pretrained(folder, dtype=resolve_dtype(dtype, best_device()))
        check_rows(tokenizer, config)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config)
        if (Path(folder) / "generation_config.json").exists():
            network.generation_config = GenerationConfig.from_pretrained(folder)
    except Exception as error:
        raise _unloadable(name, folder, error) from error
    return LanguageModel(name, network, tokenizer, prompt_template, None, engine)


def _unloadable(name: str, place: str | Path, error: Exception) -> HeirloomError:
    return HeirloomError(
        f"model {name!r} could not be loaded from {place}: {error}. If a file is damaged, put it "
        "right and run the same command again; what lies in the cache or under results/ may be "
        "deleted and is then made anew."
    )


def _transpose_in_memory(network: Any) -> None:
    """Lay the weights of the inner layers out by column, each tensor as it is to whoever uses it.

    On a processor the float32 product of a batch of 48 to 80 tokens with them is then a quarter to
    a third faster. The head is not: it is so wide that the other layout is the better one.
    """
    import torch

    head = network.get_output_embeddings()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def load_tokenizer(folder: str | Path, *, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer in `folder`, padding on the left, with a padding token.

    Raises:
        HeirloomError: It has no EOS token.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, padding_side="left", trust_remote_code=trust_remote_code
    )
    if tokenizer.eos_token_id is None:
        raise HeirloomError(
            f"the tokenizer in {folder} has no EOS token, without which no completion ends and no "
            "student learns to: name it under `eos_token` in a copy's tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_rows(tokenizer: Any, config: Any) -> None:
    """Refuse a tokenizer with tokens that the embedding has no row for.

    Placeholders of images and sounds, which the tokenizers of multimodal families have in their
    models for text alone too, pass: no text becomes one.

    Raises:
        HeirloomError: It has such tokens.
    """
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if rows is None:
        return
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows}
    media = tokenizer.special_tokens_map.keys() - type(tokenizer).SPECIAL_TOKENS_ATTRIBUTES
    harmless = {str(tokenizer.special_tokens_map[key]) for key in media}
    if beyond.keys() - harmless:
        raise HeirloomError(
            f"the tokenizer has {len(tokenizer)} tokens, and the embedding rows for {rows} "
            f"(none for {min(beyond, key=beyond.__getitem__)!r}): one of them is another model's, "
            "or the embedding was not resized when tokens were added."
        )
