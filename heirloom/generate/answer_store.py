"""Completions from a server: concurrent requests, each answer stored as soon as it arrives.

Answers from an endpoint may cost money, so none may be lost, whatever happens next.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heirloom.generate.client import Answer, Client, EndpointError
from heirloom.generate.request import Completion, Prompt, Request, sequence_key
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.log import Progress

#: Prompt id, the beginning of the checksum of its text, and sample number.
Key = tuple[str, str, int]


def decisive(request: Request) -> Record:
    """Return the request fields that determine each completion: not their number or batch size."""
    settings = asdict(request)
    return {name: settings[name] for name in ("max_new_tokens", "sampling", "seed", "format")}


def keys(prompt: Prompt, request: Request) -> list[Key]:
    """Return the keys of the completions of one prompt."""
    digest = hashlib.sha256(prompt.text.encode()).hexdigest()[:16]
    return [(prompt.id, digest, sample) for sample in range(request.samples)]


def sampling_fields(key: Key, request: Request) -> dict[str, Any]:
    """Return the fields of an HTTP request that determine the sampling of one completion.

    The seed has 31 bits, because not all servers accept more.
    """
    return {
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "seed": sequence_key(request.seed, key[0], key[2]) >> 32,
    }


def open_fields(request: Request) -> dict[str, Any]:
    """Return fields that OpenAI does not have; 0 and 1 where servers have other defaults."""
    return {"top_k": request.sampling.top_k, "min_p": 0.0, "repetition_penalty": 1.0}


def ask(
    client: Client, path: str, asked: Mapping[Key, Mapping[str, Any]], file: Path
) -> dict[Key, Answer]:
    """Request completions concurrently, and append each to `file` as soon as it arrives.

    Args:
        client: Of the server to ask.
        path: As in `Client.complete`.
        asked: Body of the HTTP request for each completion.
        file: JSON lines; made if need be.

    Raises:
        HeirloomError: The client's error, with the number of answers kept; or `file` could not be
            written.
    """
    answers: dict[Key, Answer] = {}
    failures: list[EndpointError | OSError] = []
    progress = Progress(total=len(asked), unit="completions")
    writing = threading.Lock()

    def one(key: Key, body: Mapping[str, Any]) -> None:
        try:
            answer = client.complete(path, body)
            with writing:
                _append(file, {"key": key, **asdict(answer)})
                answers[key] = answer
                progress.update(1)
        except (EndpointError, OSError) as error:
            failures.append(error)
            client.stop()  # pending requests are paid for: they may finish, and are stored

    with ThreadPoolExecutor(client.endpoint.requests) as pool:
        try:
            for started in [pool.submit(one, *item) for item in asked.items()]:
                started.result()
        except BaseException:
            client.stop()
            raise
    if failures and isinstance(failures[0], OSError):
        raise HeirloomError(
            f"{file} could not be written: {failures[0].strerror}. Free some space or fix the "
            "permissions and run the same command again."
        ) from failures[0]
    if failures:
        raise HeirloomError(
            f"{failures[0]} {len(answers)} of {len(asked)} missing completions are kept now, in "
            f"{file.parent}. Put it right and run the same command again: it asks for "
            "the others alone."
        )
    return answers


def _append(file: Path, entry: Record) -> None:
    """Add a line; one that a crash truncated stays a line of its own."""
    with file.open("ab+") as lines:
        if lines.tell():
            lines.seek(-1, 2)
            if lines.read(1) != b"\n":
                lines.write(b"\n")
        lines.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


def read_answers(files: Iterable[Path]) -> dict[Key, Answer]:
    """Return the answers in files that `ask` wrote; of two to one request the first counts."""
    found: dict[Key, Answer] = {}
    for file in files:
        for line in file.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # truncated in a crash, so it is asked for again
            prompt, digest, sample = entry.pop("key")
            found.setdefault((prompt, digest, sample), Answer(**entry))
    return found


def completion(key: Key, answer: Answer, stop: Sequence[str], format: Format) -> Completion:
    """Return an answer in the form of back ends: without stop text and surrounding space."""
    ends = [answer.text.find(text) for text in stop if text in answer.text]
    reason = "length" if answer.finish_reason == "content_filter" else answer.finish_reason
    text = answer.text[: min(ends, default=None)]
    return Completion(
        prompt_id=key[0],
        sample=key[2],
        completion=text.rstrip() if format == "continuation" else text.strip(),
        n_tokens=answer.n_tokens,
        finish_reason="stop" if ends else reason,
        reasoning=answer.reasoning,
    )
