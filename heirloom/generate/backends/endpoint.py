"""Models that answer at an endpoint instead of running here.

What an endpoint wrote is kept under everything that decides a text and nothing else. More
candidates, other prompts or another number of shards ask for what is missing alone, and whoever has
the files has the texts.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from heirloom.fetch.cache import cache_root
from heirloom.fetch.notes import locate, trusts_code
from heirloom.generate.answer_store import (
    Key,
    ask,
    decisive,
    keys,
    open_fields,
    read_answers,
    record,
    sampling_fields,
)
from heirloom.generate.client import Client
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import CHAT, PromptTemplate
from heirloom.prompts.settings import Format
from heirloom.support.files import Record, read_json, write_json
from heirloom.support.work_folder import fingerprint

if TYPE_CHECKING:
    from heirloom.generate.request import Prompt, Request


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteModel:
    """A model behind an endpoint: it can write, and nothing else can be asked of it.

    Attributes:
        name: Its name in the study.
        endpoint: Where it answers.
        prompt_template: How it is shown an instruction; `"chat"` leaves that to the server.
        kept: The folder in which every answer is kept, for all studies.
    """

    name: str
    endpoint: Endpoint
    prompt_template: PromptTemplate
    kept: Path
    adapter_sha256: None = None

    @property
    def decoder_identity(self) -> Mapping[str, str]:
        """What generates, for the profile."""
        return {"backend": "endpoint", **self.endpoint.identity}

    def cannot(self, *, generates: bool, format: Format | None) -> str | None:
        """Why a benchmark is not applicable; None if it is.

        Args:
            generates: Whether the benchmark needs texts alone.
            format: How its prompts are written; None if they are its own instructions.
        """
        if not generates:
            return "an endpoint gives texts, and neither likelihoods nor encodings"
        if format == "continuation" and not self.endpoint.completions:
            return "the endpoint serves chat alone, which does not continue a text"
        return None


def open_model(
    note: str | Path, *, name: str, prompt_template: PromptTemplate, **options: Any
) -> LanguageModel | RemoteModel:
    """The model that a note of the fetch stage speaks of.

    Args:
        note: The note.
        name: The model's name in the study.
        prompt_template: How it is shown an instruction.
        options: Of `load_model`; they do not concern a model behind an endpoint.
    """
    described = read_json(note)
    if "endpoint" in described:
        endpoint = Endpoint(**described["endpoint"])
        return RemoteModel(name, endpoint, prompt_template, cache_root() / "answers")
    return load_model(
        locate(note),
        name=name,
        prompt_template=prompt_template,
        trust_remote_code=trusts_code(note),
        **options,
    )


def generate(
    model: RemoteModel, prompts: Sequence["Prompt"], request: "Request", *, shard: int, shards: int
) -> list[Record]:
    """See `heirloom.generate.loop.generate`.

    Prompts, and not batches, are divided into shards. `n_tokens` is None where the server does not
    count tokens; what a vendor's filter cut has the `finish_reason` `"length"`.

    Raises:
        HeirloomError: the endpoint refuses, or is dead. What it answered before is kept.
    """
    if request.sampling.top_k and model.endpoint.api == "openai":
        logger.warning("%s samples without top_k, which its endpoint refuses", model.name)
    identity = {
        "version": 1,  # of this identity: code that changes is no reason to pay again
        "model": model.endpoint.identity,
        "api": model.endpoint.api,
        "template": asdict(model.prompt_template),
        **decisive(request),
    }
    folder = model.kept / fingerprint(identity)
    file = folder / f"{shard + 1}-of-{shards}.jsonl"
    own = prompts[shard::shards]
    folder.mkdir(parents=True, exist_ok=True)
    # Not `claimed`, which empties a folder that lost its marker. The lock is for a job that is left
    # from a run that was killed, and for other studies.
    with FileLock(file.with_suffix(".lock")):
        write_json(folder / "identity.json", identity)
        kept = read_answers(sorted(folder.glob("*.jsonl")))
        asked = {
            key: _body(model, prompt.text, key, request)
            for prompt in own
            for key in keys(prompt, request)
            if key not in kept
        }
        if asked:
            chat = request.format == "instruction" and model.prompt_template.template == CHAT
            path = "chat/completions" if chat else "completions"
            kept |= ask(Client(model.endpoint), path, asked, file)
    order = [key for prompt in own for key in keys(prompt, request)]
    served = Counter(str(kept[key].served_by) for key in order)
    logger.info("the server called the model that answered: %s", ", ".join(served))
    stop, format = model.prompt_template.stop, request.format
    return [record(key, kept[key], stop, format) for key in order]


def _body(model: RemoteModel, text: str, key: Key, request: "Request") -> dict[str, Any]:
    body = sampling_fields(key, request)
    if model.endpoint.api == "extended":
        body |= open_fields(request)
    if model.prompt_template.stop:
        body["stop"] = list(model.prompt_template.stop)
    template = model.prompt_template.template
    limit = "max_tokens"
    if request.format == "instruction" and template == CHAT:
        body["messages"] = [{"role": "user", "content": text}]
        if model.endpoint.api == "openai":
            limit = "max_completion_tokens"  # its newer models refuse the old name
    else:
        plain = request.format == "continuation"
        body["prompt"] = text if plain else template.replace("{prompt}", text)
    return {**body, limit: request.max_new_tokens}
