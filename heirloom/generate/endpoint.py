"""Models behind an endpoint, which do not run here.

Completions from an endpoint are stored under a key of everything that determines them and nothing
else. With more candidates, other prompts or another number of shards, only missing completions are
requested, and a copy of the files is a copy of the completions.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from heirloom.fetch.cache import cache_path
from heirloom.generate.answer import Answer
from heirloom.generate.answer_store import (
    Key,
    Tally,
    ask,
    completion,
    decisive,
    keys,
    open_fields,
    read_answers,
    sampling_fields,
)
from heirloom.generate.client import Client, EndpointError
from heirloom.generate.meter import Meter
from heirloom.generate.request import Completion, Prompt, Request
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import CHAT, PromptTemplate, closing_of
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json
from heirloom.support.work_folder import fingerprint

logger = logging.getLogger(__name__)

_SHORT = 20  # tokens, below which a server's count says nothing


@dataclass(frozen=True)
class RemoteModel:
    """A model behind an endpoint, which can only generate.

    Attributes:
        name: Its name in the study.
        endpoint: Address and name of the model there.
        prompt_template: Form in which it is shown an instruction; `"chat"` is left to the server.
        kept: Folder in which all answers are stored, for all studies.
        study: Folder of the study's results, whose money is counted.
        adapter_sha256: None: a student is never behind an endpoint.
    """

    name: str
    endpoint: Endpoint
    prompt_template: PromptTemplate
    kept: Path
    study: str = ""
    adapter_sha256: None = None

    @property
    def identity(self) -> Mapping[str, str]:
        """The server's model, as `heirloom.generate.backends.Backend.identity`."""
        return {"backend": "endpoint", **self.endpoint.identity}

    def begins_inside(self, text: str, format: Format) -> bool:
        """Tell if the completion of a prompt is known to begin inside a block of reasoning."""
        if self.prompt_template.template == CHAT:
            return False  # the server applies its own template
        return closing_of(None, self.prompt_template, text, format) is not None

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


def describe_endpoint(name: str, endpoint: Endpoint) -> Record:
    """Return the note on a model behind an endpoint, like the notes of `heirloom.fetch.notes`.

    The server need not run and the key need not be set: the stored completions may be all that is
    needed.

    Args:
        name: The model's name in the study.
        endpoint: Its endpoint.
    """
    served = None
    try:
        served = Client(endpoint).served()
    except EndpointError as error:
        logger.warning("%s", error)
    return {
        "name": name,
        "endpoint": endpoint.model_dump(mode="json"),
        "sha256": fingerprint(endpoint.identity),
        "served": served,
    }


def note_endpoint(note: str | Path, name: str, endpoint: Endpoint) -> None:
    """Write the note on a model behind an endpoint, see `describe_endpoint`."""
    write_json(note, describe_endpoint(name, endpoint))


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
    study = str(Path(note).absolute().parent.parent)
    return RemoteModel(name, endpoint, prompt_template, cache_path("answers"), study)


def generate(
    model: RemoteModel, prompts: Sequence[Prompt], request: Request, *, shard: int, shards: int
) -> list[Completion]:
    """Complete prompts, see `heirloom.generate.completions.generate`.

    Prompts are divided into shards. `n_tokens` is None where the server does not count tokens; a
    completion that a vendor's filter truncated has the `finish_reason` `"length"`.

    Raises:
        HeirloomError: The endpoint refuses, or is dead, or too many prompts have no answer. Earlier
            answers are kept.
    """
    endpoint = model.endpoint
    if request.sampling.top_k and endpoint.api == "openai":
        logger.warning("%s samples without top_k, which its endpoint refuses", model.name)
    own = prompts[shard::shards]
    order = [key for prompt in own for key in keys(prompt, request)]
    folder = model.kept / fingerprint(_identity(model, request, endpoint.api))
    file = folder / f"{shard + 1}-of-{shards}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    # Not `claimed`, which empties a folder that lost its marker. The lock is for a job that is left
    # from a run that was killed, and for other studies.
    with FileLock(file.with_suffix(".lock")):
        write_json(folder / "identity.json", _identity(model, request, endpoint.api))
        kept = _kept(model, request, folder)
        if endpoint.retry:
            kept = {key: answer for key, answer in kept.items() if answer.has_text}
        failed = len(order) * endpoint.max_failed
        # One prompt never ends a job.
        tally = Tally(max(failed, request.samples) if endpoint.max_failed else 0)
        for key in order:
            if key in kept:
                tally.add(key, kept[key])
        texts = {prompt.id: prompt.text for prompt in own}
        bodies = {key: _body(model, texts[key[0]], key, request) for key in order}
        asked = {key: body for key, body in bodies.items() if key not in kept}
        if asked and not tally.exceeded:
            meter = Meter(endpoint, model.kept, model.study) if endpoint.metered else None
            chat = request.format == "instruction" and model.prompt_template.template == CHAT
            path = "chat/completions" if chat else "completions"
            answered = next((bodies[k] for k in order if k in kept and kept[k].has_text), None)
            client = Client(endpoint, meter)
            kept |= ask(client, path, asked, file, tally=tally, answered=answered)
    _report(model, tally, len(order), folder)
    _warn_of_cuts(model, {key: kept[key] for key in order}, texts)
    served = Counter(str(kept[key].served_by) for key in order if kept[key].has_text)
    logger.info("the server called the model that answered: %s", ", ".join(served))
    stop, format = model.prompt_template.stop, request.format
    made = [completion(key, kept[key], stop, format) for key in order]
    if endpoint.price is None:
        return made
    # Where tokens have a price, those of the prompt are a result.
    return [
        replace(c, prompt_tokens=kept[k].prompt_tokens) for k, c in zip(order, made, strict=True)
    ]


def _identity(model: RemoteModel, request: Request, api: str) -> Record:
    return {
        "version": 1,  # only the identity: a change of code is no reason to pay again
        "model": model.endpoint.identity,
        "api": api,
        "template": model.prompt_template.deciding(),
        **decisive(request),
    }


def _kept(model: RemoteModel, request: Request, folder: Path) -> dict[Key, Answer]:
    """Return the stored answers: those of the other `api` too, as far as it did not decide them."""
    other = "openai" if model.endpoint.api == "extended" else "extended"
    there = model.kept / fingerprint(_identity(model, request, other))
    same = request.sampling.top_k == 0 or request.sampling.temperature == 0
    found = {
        key: answer
        for key, answer in read_answers(sorted(there.glob("*.jsonl"))).items()
        if same or answer.finish_reason == "too_long"
    }
    own = read_answers(sorted(folder.glob("*.jsonl")))
    return {**found, **{k: a for k, a in own.items() if a.has_text or k not in found}}


def _report(model: RemoteModel, tally: Tally, n: int, folder: Path) -> None:
    """Log the completions without an answer.

    Raises:
        HeirloomError: They are too many.
    """
    if not tally.failed:
        return
    said = f"{len(tally.failed)} of {n} completions by {model.name} have no answer ({tally})"
    if tally.exceeded:
        raise HeirloomError(
            f"{said}: more than its endpoint's max_failed, {100 * model.endpoint.max_failed:g} %. "
            f"All answers are kept in {folder}. Mend the prompts or the server, or raise "
            "max_failed, and run the same command again; `retry: refused` asks for these again."
        )
    logger.warning("%s. `retry: refused` in its endpoint asks for them again.", said)


def _warn_of_cuts(
    model: RemoteModel, answers: Mapping[Key, Answer], texts: Mapping[str, str]
) -> None:
    """Warn of prompts that the server seems to have truncated, by its own count of tokens."""
    cut = {
        key[0]: (answer.prompt_tokens, least)
        for key, answer in answers.items()
        if answer.prompt_tokens and answer.prompt_tokens < (least := least_tokens(texts[key[0]]))
    }
    if cut:
        (prompt, (counted, least)), names = next(iter(cut.items())), ", ".join(list(cut)[:10])
        logger.warning(
            "the server of %s seems to have cut %d prompt(s): %s. In %s it counted %d tokens, of "
            "at least %d. Raise its context length, or drop the prompts.",
            *(model.name, len(cut), names, prompt, counted, least),
        )


def least_tokens(text: str) -> int:
    """Return a number of tokens that a text certainly has; 0 for a short one.

    No tokenizer is known here. Half a token per word, and a quarter per character of scripts
    without spaces, are less than any tokenizer in use makes of a text.
    """
    wide = sum(char >= "\u0e00" and char.isalpha() for char in text)
    least = max(len(text.split()) // 2, wide // 4)
    return least if least >= _SHORT else 0


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
        if model.prompt_template.chat_template_kwargs:
            body["chat_template_kwargs"] = dict(model.prompt_template.chat_template_kwargs)
        if model.endpoint.api == "openai":
            limit = "max_completion_tokens"  # its newer models refuse the old name
    else:
        plain = request.format == "continuation"
        body["prompt"] = text if plain else template.replace("{prompt}", text)
    return model.endpoint.sent({**body, limit: request.max_new_tokens})
