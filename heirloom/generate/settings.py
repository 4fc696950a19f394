"""Sections of the study file about models and how they generate."""

import re
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from heirloom.fetch.settings import Artefact, HubSource, Source, is_loopback
from heirloom.generate.backends import BACKENDS
from heirloom.generate.model import Engine, Weights
from heirloom.generate.request import Request, Sampling
from heirloom.generate.templates import CHAT, Reasoning
from heirloom.prompts.settings import Format
from heirloom.support.files import Record
from heirloom.support.registry import name_in
from heirloom.support.settings import Name, Section

# Arguments of `apply_chat_template` that are no variables of a template.
_TEMPLATE_ARGUMENTS = frozenset(
    {
        *("conversation", "messages", "chat_template", "add_generation_prompt", "tokenize"),
        *("continue_final_message", "padding", "truncation", "max_length", "return_tensors"),
        *("return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
    }
)
#: Fields of a request that the study decides, by the names that APIs give them.
FIELDS = (
    "temperature",
    "top_p",
    "seed",
    "top_k",
    "min_p",
    "repetition_penalty",
    "stop",
    "max_tokens",
    "max_completion_tokens",
)
#: Values that leave the distribution as it is.
NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
# Set by every request.
_OWN = ("model", "messages", "prompt")


class Price(Section):
    """Price of an endpoint per million tokens, in any currency."""

    input: float = Field(ge=0, description="Price of a million tokens of prompts.")
    output: float = Field(ge=0, description="Price of a million generated tokens.")

    def of(self, read: float, written: float) -> float:
        """Return the price of so many tokens of prompts and of completions."""
        return (self.input * read + self.output * written) / 1e6


class Endpoint(BaseModel):
    """An OpenAI-compatible API that serves a model: of vLLM, llama.cpp or a vendor."""

    confidential: ClassVar[bool] = True  # an API key or a password may stand here by mistake

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="Base URL of the API, usually ending in `/v1`. An API key is sent only over "
        "https or to this machine."
    )
    model: str = Field(min_length=1, description="Name of the model on the server.")
    revision: str | None = Field(
        None,
        description="Your label for the served weights. With a label, stored completions stay "
        "valid when `url` changes; a new label requests all completions again. "
        "Default: `url` identifies the weights.",
    )
    key: str | None = Field(
        None,
        description="Name of the environment variable that holds the API key, never the key "
        "itself. Default: no key is sent.",
    )
    api: Literal["extended", "openai"] = Field(
        "extended",
        description="`extended`: send all sampling fields, top_k, min_p and repetition_penalty "
        "too, because vLLM and llama.cpp have other defaults; `openai`: send only what OpenAI's "
        "API accepts, and of that no neutral value (temperature 1, top_p 1). `generate.top_k` then "
        "has no effect.",
    )
    omit: list[Literal[FIELDS]] = Field(  # type: ignore[valid-type]
        [],
        description="Fields never to send, for a server that refuses them: `[seed, top_p]`. The "
        "server's own default applies.",
    )
    extra: dict[str, Any] = Field(
        {}, description="Further fields of each request: `{reasoning_effort: low}`."
    )
    completions: bool = Field(
        True,
        description="Set to no if the server offers only `/chat/completions`. `/completions` is "
        "required to continue a text and for a `template` other than `chat`.",
    )
    requests: int = Field(8, ge=1, description="Maximum number of concurrent requests per job.")
    timeout: float = Field(
        600, gt=0, description="Maximum number of seconds to wait for a response."
    )
    attempts: int = Field(
        8,
        ge=1,
        description="Attempts per request. Pauses between them grow; 8 attempts take about 2 "
        "minutes. Refusals as too many requests (429) do not count while answers arrive.",
    )
    requests_per_minute: float | None = Field(
        None, gt=0, description="Most requests per minute, of all jobs together."
    )
    tokens_per_minute: float | None = Field(
        None,
        gt=0,
        description="Most tokens per minute, of prompts and completions and of all jobs together.",
    )
    max_failed: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of a job's completions that may be without an answer (refused, "
        "filtered, empty, too long). More end the job; those of a single prompt never do, unless "
        "the share is 0.",
    )
    retry: Literal["refused"] | None = Field(
        None,
        description="`refused`: ask again for all completions without an answer, in every job that "
        "runs while the key stands. Default: they are kept as they are.",
    )
    price: Price | None = Field(
        None, description="Price per million tokens: `{input: 0.15, output: 0.60}`."
    )
    max_cost: float | None = Field(
        None,
        ge=0,
        description="Most that the study may spend here, in the currency of `price`. A request "
        "that might pass it is not sent.",
    )

    @field_validator("url")
    @classmethod
    def _plain(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "it must not contain a user, password or query; name an environment variable "
                "in `key` instead"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is not an http or https address")
        return value.rstrip("/")

    @field_validator("key")
    @classmethod
    def _a_variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", value):
            raise ValueError(
                "it must be the name of an environment variable, in capitals, such as "
                "OPENAI_API_KEY; the key itself does not belong in a study file"
            )
        return value

    @model_validator(mode="after")
    def _extra_beside_the_study(self) -> Self:
        for name in self.extra:
            if name in _OWN or (name in FIELDS and name not in self.omit):
                raise ValueError(
                    f"extra must not hold {name}, which the study decides"
                    + ("" if name in _OWN else f"; put {name} into `omit` as well to replace it")
                )
            if name == "n" or (name == "stream" and self.extra[name]):
                raise ValueError(
                    f"extra must not hold {name}: one whole answer per request is read"
                )
        return self

    @model_validator(mode="after")
    def _a_limit_of_something(self) -> Self:
        if self.max_cost is not None and self.price is None:
            raise ValueError("max_cost needs a price")
        return self

    @model_validator(mode="after")
    def _no_key_in_the_clear(self) -> Self:
        if self.key and not self.url.startswith("https:") and not self.local:
            raise ValueError("a key is sent only over https or to this machine")
        return self

    @property
    def local(self) -> bool:
        """True if the server runs on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def identity(self) -> Record:
        """Identity of the served model, as far as it is known here."""
        where = {"revision": self.revision} if self.revision else {"url": self.url}
        changed = {"omit": sorted(self.omit), "extra": self.extra}
        return {"model": self.model, **where, **{k: v for k, v in changed.items() if v}}

    @property
    def metered(self) -> bool:
        """True if its jobs share limits."""
        return any((self.requests_per_minute, self.tokens_per_minute, self.price))

    def sent(self, fields: Record) -> Record:
        """Return the fields of a request as this endpoint is sent them."""
        kept = {name: value for name, value in fields.items() if name not in self.omit}
        if self.api == "openai":
            kept = {name: v for name, v in kept.items() if NEUTRAL.get(name) != v}
        return {**kept, **self.extra}


def _is_pinned(source: Source) -> bool:
    """Return True if the code that is downloaded can never change."""
    return (
        isinstance(source, HubSource)
        and source.files is None
        and re.fullmatch(r"[0-9a-f]{40}", source.revision) is not None
    )


class Model(Artefact):
    """A language model: its sources or endpoint, and its prompt template."""

    sources: list[Source] = Field(
        [],
        description="Places to get the model from, in order of preference. A copy on this machine "
        "is used if there is one, otherwise the first source that responds.",
    )
    base: Name | None = Field(
        None,
        exclude_if=lambda value: value is None,  # results of models without one stay as they are
        description="For `sources` that are a LoRA adapter in PEFT's format: the model of the "
        "study that it was trained on. Default: found, for an adapter on this machine; see below.",
    )
    endpoint: Endpoint | None = Field(
        None,
        description="Instead of `sources`: an API that generates completions for a teacher that "
        "cannot run here.",
    )
    parameters: float | None = Field(
        None,
        gt=0,
        description="Parameter count (`7.0e9`), used only to size cluster jobs and to estimate "
        "costs. Default: counted after download; before that, 1.0e9 is assumed for "
        "jobs.",
    )

    template: str = Field(
        "chat",
        description="`chat`: the tokenizer's chat template. Otherwise a text that contains "
        "`{prompt}`.",
    )
    chat_template_kwargs: dict[str, Any] = Field(
        {},
        description="Variables of the chat template (`enable_thinking: no`). An endpoint gets them "
        "in the field of this name, which vLLM, SGLang and llama.cpp accept.",
    )
    reasoning: Reasoning = Field(
        "apart",
        description="`apart`: the block of reasoning before an answer (`<think>...</think>` and "
        "the like) is recorded, but is no part of the completion; `keep`: it is, so that it is "
        "scored, judged and trained on.",
    )
    stop: list[str] = Field(
        [], description="Strings that end a completion, for models that do not stop by themselves."
    )
    trust_remote_code: bool = Field(
        False,
        description="Run the Python code in the model's repository, for architectures that "
        "transformers does not include. Requires hub sources, each pinned to a full "
        "commit hash.",
    )

    @model_validator(mode="after")
    def _pinned_code(self) -> Self:
        if self.trust_remote_code and not (
            self.sources and all(_is_pinned(source) for source in self.sources)
        ):
            raise ValueError(
                "trust_remote_code runs code from the repository: every source must be a whole hub "
                "repository (without files) whose revision is a commit (40 hexadecimal digits)"
            )
        return self

    @field_validator("chat_template_kwargs")
    @classmethod
    def _only_variables(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_TEMPLATE_ARGUMENTS & value.keys())
        if taken:
            raise ValueError(f"heirloom itself sets {', '.join(taken)}: leave it out")
        return value

    @model_validator(mode="after")
    def _template_takes_variables(self) -> Self:
        if self.chat_template_kwargs and self.template != CHAT:
            raise ValueError(
                "chat_template_kwargs are variables of the chat template, but `template` replaces "
                "it: leave one of them out"
            )
        if self.chat_template_kwargs and self.endpoint and self.endpoint.api == "openai":
            raise ValueError(
                "chat_template_kwargs are not part of OpenAI's API: set endpoint.api to extended "
                "if the server accepts them"
            )
        return self

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if bool(self.sources) == bool(self.endpoint):
            raise ValueError("give either sources or an endpoint")
        if self.base and self.endpoint:
            raise ValueError("base belongs to an adapter in sources: leave it out")
        if self.base and self.trust_remote_code:
            raise ValueError("an adapter brings no code: leave trust_remote_code out")
        if self.endpoint and not self.endpoint.completions and self.template != "chat":
            raise ValueError(
                "an endpoint without /completions needs template: chat, which the server applies"
            )
        return self


class Generate(Section):
    """Sampling of candidates, and the back end of all models in the study."""

    k: int = Field(5, ge=1, description="Candidates per prompt and teacher; the paper has 10.")
    temperature: float = Field(1.0, ge=0, description="Sampling temperature; 0 is greedy.")
    top_k: int = Field(50, ge=0, description="Sample from the k most likely tokens; 0: from all.")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample from the most likely tokens whose probabilities sum to at least this "
        "(nucleus sampling); 1: from all.",
    )
    batch_size: int = Field(80, ge=1, description="Maximum number of sequences generated at once.")
    backend: name_in(BACKENDS) = Field(  # type: ignore[valid-type]
        "auto",
        description="Back end for all completions of local models. `auto`: OpenVINO on CPUs if it "
        "is installed and supports the model, otherwise transformers. `vllm`: a vLLM "
        "server, see below.",
    )
    weights: Weights = Field(
        "model",
        description="`int8`: all models generate with int8-quantised weights and activations (in "
        "groups of 32), which is twice as fast on CPUs. Requires OpenVINO.",
    )

    @model_validator(mode="after")
    def _weights_of_the_backend(self) -> Self:
        if self.weights not in BACKENDS.get(self.backend).weights:
            able = [name for name in BACKENDS.names() if self.weights in BACKENDS.get(name).weights]
            raise ValueError(
                f"weights: {self.weights} is not possible with backend {self.backend}: set backend "
                f"to {' or '.join(able)}"
            )
        return self

    @property
    def engine(self) -> Engine:
        """Back end and weights."""
        return Engine(self.backend, self.weights)

    def request(self, *, samples: int, max_new_tokens: int, seed: int, format: Format) -> Request:
        """Return a request for completions that are sampled as candidates are."""
        return Request(
            samples=samples,
            max_new_tokens=max_new_tokens,
            sampling=Sampling(self.temperature, self.top_k, self.top_p),
            seed=seed,
            format=format,
            batch_size=self.batch_size,
        )
