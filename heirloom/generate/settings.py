"""Sections of the study file about models and how they generate."""

import re
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from heirloom.fetch.settings import Artefact, HubSource, Source, is_loopback
from heirloom.generate.backends import BACKENDS
from heirloom.generate.model import Engine, Weights
from heirloom.generate.request import Request, Sampling
from heirloom.prompts.settings import Format
from heirloom.support.files import Record
from heirloom.support.registry import name_in
from heirloom.support.settings import Section


class Endpoint(BaseModel):
    """An OpenAI-compatible API that generates for a model: of vLLM, llama.cpp, a vendor."""

    confidential: ClassVar[bool] = True  # an API key or a password may stand here by mistake

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="Address of the API, mostly up to `/v1`. A key is sent over https alone, or to "
        "this machine."
    )
    model: str = Field(min_length=1, description="Name of the model at the server.")
    revision: str | None = Field(
        None,
        description="Your name for these very weights. With it, the model is the same at whatever "
        "`url`, and its completions are kept when it moves; another one asks for all of them anew.",
    )
    key: str | None = Field(
        None,
        description="The environment variable that holds the API key. Left out: no key is sent. "
        "The key itself does not belong here.",
    )
    api: Literal["extended", "openai"] = Field(
        "extended",
        description="`extended`: top_k, min_p and repetition_penalty are sent as well, as vLLM and "
        "llama.cpp take them; `openai`: nothing that OpenAI's own API refuses, so that "
        "`generate.top_k` is not applied.",
    )
    completions: bool = Field(
        True,
        description="It serves `/completions`, and not `/chat/completions` alone: needed to "
        "continue a text, and for a `template` other than `chat`.",
    )
    requests: int = Field(8, ge=1, description="Most requests at once, per job.")
    timeout: float = Field(600, gt=0, description="Seconds that one answer may take.")
    attempts: int = Field(
        8, ge=1, description="Attempts at one answer, with growing pauses between, about 2 minutes."
    )

    @field_validator("url")
    @classmethod
    def _plain(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("it must hold no user, password or query; name a variable in key")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is no http or https address")
        return value.rstrip("/")

    @field_validator("key")
    @classmethod
    def _a_variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", value):
            raise ValueError(
                "it must be the name of an environment variable, in capitals, such as "
                "OPENAI_API_KEY; the key itself does not belong into a study file"
            )
        return value

    @model_validator(mode="after")
    def _no_key_in_the_clear(self) -> Self:
        if self.key and not self.url.startswith("https:") and not self.local:
            raise ValueError("a key is sent over https alone, or to this machine")
        return self

    @property
    def local(self) -> bool:
        """True if the server runs on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def identity(self) -> Record:
        """The model that this is, as far as one can tell from here."""
        where = {"revision": self.revision} if self.revision else {"url": self.url}
        return {"model": self.model, **where}


def _is_pinned(source: Source) -> bool:
    """Tell if the code that is fetched can never be another than it is today."""
    return (
        isinstance(source, HubSource)
        and source.files is None
        and re.fullmatch(r"[0-9a-f]{40}", source.revision) is not None
    )


class Model(Artefact):
    """A language model: its sources or its endpoint, and the form of its prompts."""

    sources: list[Source] = Field(
        [],
        description="Places that have the same model, in order of preference. What is on this "
        "machine already is used; otherwise the first that answers.",
    )
    endpoint: Endpoint | None = Field(
        None,
        description="Instead of sources: an API that generates for a teacher that cannot run here.",
    )
    parameters: float | None = Field(
        None,
        gt=0,
        description="Parameter count (`7.0e9`), used only to size cluster jobs. Default: counted "
        "after download; 1.0e9 is assumed before that. Changes no result.",
    )

    template: str = Field(
        "chat",
        description="`chat`: the tokenizer's own chat template; else a text with `{prompt}` in it.",
    )
    stop: list[str] = Field(
        [], description="Texts that end a completion, for models that do not end by themselves."
    )
    trust_remote_code: bool = Field(
        False,
        description="Run the Python code in the model's repository, for an architecture that "
        "transformers does not have. Needs hub sources, each pinned to a commit of 40 digits.",
    )

    @model_validator(mode="after")
    def _pinned_code(self) -> Self:
        if self.trust_remote_code and not (
            self.sources and all(_is_pinned(source) for source in self.sources)
        ):
            raise ValueError(
                "trust_remote_code runs what the repository holds: every source must be a whole "
                "hub repository (no files) whose revision is a commit, 40 hexadecimal digits"
            )
        return self

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if bool(self.sources) == bool(self.endpoint):
            raise ValueError("give sources or an endpoint, one of the two")
        if self.endpoint and not self.endpoint.completions and self.template != "chat":
            raise ValueError(
                "an endpoint without /completions takes no template: it has the model's own (chat)"
            )
        return self


class Generate(Section):
    """Sampling of candidates, and the back end of every model of the study."""

    k: int = Field(5, ge=1, description="Candidates per prompt and teacher (assumed, see README).")
    temperature: float = Field(1.0, ge=0, description="0 is greedy.")
    top_k: int = Field(50, ge=0, description="Choose among the k likeliest tokens; 0: all.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus; 1: all.")
    batch_size: int = Field(80, ge=1, description="Most sequences generated at once.")
    backend: name_in(BACKENDS) = Field(  # type: ignore[valid-type]
        "auto",
        description="Computes every completion of the study's own models. `auto`: OpenVINO on a "
        "processor, if it is installed and can run the model, else transformers. `vllm`: a server "
        "of it, see below.",
    )
    weights: Weights = Field(
        "model",
        description="`int8`: for generating, and for every model of the study alike, the weights "
        "and each token's activations are int8-quantised in groups of 32: twice as fast on a "
        "processor. Needs OpenVINO.",
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
