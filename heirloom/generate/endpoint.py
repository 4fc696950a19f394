"""Models behind an endpoint, which do not run here.

Completions from an endpoint are stored under a key of everything that determines them and nothing
else. With more candidates, other prompts or another number of shards, only missing completions are
requested, and a copy of the files is a copy of the completions.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heirloom.fetch.cache import cache_path
from heirloom.generate.answer_store import (
    Key,
    ask,
    completion,
    decisive,
    keys,
    open_fields,
    read_answers,
    sampling_fields,
)
from heirloom.generate.client import Client
from heirloom.generate.request import Completion, Prompt, Request
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import CHAT, PromptTemplate
from heirloom.prompts.settings import Format
from heirloom.support.files import read_json, write_json
from heirloom.support.locks import locked, require_writable
from heirloom.support.work_folder import fingerprint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteModel:
    """A model behind an endpoint, which can only generate.

    Attributes:
        name: Its name in the study.
        endpoint: Address and name of the model there.
        prompt_template: Form in which it is shown an instruction; `"chat"` is left to the server.
        kept: Folder in which all answers are stored, for all studies.
        adapter_sha256: None: a student is never behind an endpoint.
    """

    name: str
    endpoint: Endpoint
    prompt_template: PromptTemplate
    kept: Path
    adapter_sha256: None = None

    @property
    def identity(self) -> Mapping[str, str]:
        """The server's model, as `heirloom.generate.backends.Backend.identity`."""
        return {"backend": "endpoint", **self.endpoint.identity}

    def cannot(self, *, generates: bool, format: Format | None) -> str | None:
        """Return why a benchmark is not applicable; None if it is.

        Args:
            generates: True if the benchmark needs only completions.
            format: Of its prompts; None if they are its own instructions.
        """
        if not generates:
            return "an endpoint gives completions, and neither likelihoods nor embeddings"
        if format == "continuation" and not self.endpoint.completions:
            return "the endpoint serves chat alone, which does not continue a text"
        return None


def remote_model(
    note: str | Path, *, name: str, prompt_template: PromptTemplate
) -> RemoteModel | None:
    """Return the model that a note of the fetch stage describes; None if it is no endpoint's.

    Args:
        note: The note.
        name: The model's name in the study.
        prompt_template: Form in which it is shown an instruction.
    """
    described = read_json(note)
    if "endpoint" not in described:
        return None
    endpoint = Endpoint(**described["endpoint"])
    return RemoteModel(name, endpoint, prompt_template, cache_path("answers"))


def generate(
    model: RemoteModel, prompts: Sequence[Prompt], request: Request, *, shard: int, shards: int
) -> list[Completion]:
    """Complete prompts, see `heirloom.generate.completions.generate`.

    Prompts are divided into shards. `n_tokens` is None where the server does not count tokens; a
    completion that a vendor's filter truncated has the `finish_reason` `"length"`.

    Raises:
        HeirloomError: The endpoint refuses, or is dead. Earlier answers are kept.
    """
    if request.sampling.top_k and model.endpoint.api == "openai":
        logger.warning("%s samples without top_k, which its endpoint refuses", model.name)
    identity = {
        "version": 1,  # only the identity: a change of code is no reason to pay again
        "model": model.endpoint.identity,
        "api": model.endpoint.api,
        "template": asdict(model.prompt_template),
        **decisive(request),
    }
    folder = model.kept / fingerprint(identity)
    file = folder / f"{shard + 1}-of-{shards}.jsonl"
    own = prompts[shard::shards]
    with suppress(OSError):  # the cache may be read-only, and have every answer
        folder.mkdir(parents=True, exist_ok=True)
    # Not `claimed`, which empties a folder that lost its marker. The lock is for a job that is left
    # from a run that was killed, and for other studies.
    with locked(file.with_suffix(".lock"), purpose="asking for the same"):
        kept = read_answers(sorted(folder.glob("*.jsonl")))
        asked = {
            key: _body(model, prompt.text, key, request)
            for prompt in own
            for key in keys(prompt, request)
            if key not in kept
        }
        if asked:
            require_writable(folder)  # before anything is asked for that may cost money
            write_json(folder / "identity.json", identity)
            chat = request.format == "instruction" and model.prompt_template.template == CHAT
            path = "chat/completions" if chat else "completions"
            kept |= ask(Client(model.endpoint), path, asked, file)
    order = [key for prompt in own for key in keys(prompt, request)]
    served = Counter(str(kept[key].served_by) for key in order)
    logger.info("the server called the model that answered: %s", ", ".join(served))
    stop, format = model.prompt_template.stop, request.format
    return [completion(key, kept[key], stop, format) for key in order]


def _body(model: RemoteModel, text: str, key: Key, request: Request) -> dict[str, Any]:
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
