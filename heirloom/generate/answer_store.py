"""Completions from a server: concurrent requests, each answer stored as soon as it arrives.

Answers from an endpoint may cost money, so none may be lost, whatever happens next.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from heirloom.generate.answer import Answer
from heirloom.generate.client import Client, UnansweredError
from heirloom.generate.request import UNANSWERED, Completion, Prompt, Request, sequence_key
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.log import Progress

_NAMED = 10  # prompts in a message

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


@dataclass
class Tally:
    """Completions of a job without an answer, and the number of them that ends it.

    Attributes:
        most: Maximum number; None: there is none.
        failed: Reason of each.
    """

    most: float | None = None
    failed: dict[Key, Answer] = field(default_factory=dict)

    def add(self, key: Key, answer: Answer) -> None:
        """Count a completion if it has no answer."""
        if not answer.has_text:
            self.failed[key] = answer

    @property
    def exceeded(self) -> bool:
        """True if there are more than the most."""
        return self.most is not None and len(self.failed) > self.most

    def __str__(self) -> str:
        """The prompts by reason, with what the server said to the first of each."""
        by_reason: dict[str, dict[str, str | None]] = {}
        for key, answer in self.failed.items():
            reason = completion(key, answer, (), "instruction").finish_reason
            by_reason.setdefault(reason, {}).setdefault(key[0], answer.said)
        return "; ".join(
            f"{reason}: {', '.join(list(prompts)[:_NAMED])}"
            + (f" and {len(prompts) - _NAMED} more" if len(prompts) > _NAMED else "")
            + next((f" ({said})" for said in prompts.values() if said), "")
            for reason, prompts in sorted(by_reason.items())
        )


def ask(
    client: Client,
    path: str,
    asked: Mapping[Key, Mapping[str, Any]],
    file: Path,
    *,
    tally: Tally | None = None,
    answered: Mapping[str, Any] | None = None,
) -> dict[Key, Answer]:
    """Request completions concurrently, and append each to `file` as soon as it arrives.

    Args:
        client: Of the server to ask.
        path: As in `Client.complete`.
        asked: Body of the HTTP request for each completion.
        file: JSON lines; made if need be.
        tally: Counts completions without an answer; once there are too many, no more are asked for.
        answered: Body of a request that was answered earlier, to ask again where one prompt gets
            no answer and nothing else shows that the server lives.

    Returns:
        The answers; of fewer requests where `tally` is exceeded.

    Raises:
        HeirloomError: The client's error, with the number of answers kept; or `file` could not be
            written.
    """
    asking = _Asking(client, path, asked, file, tally or Tally())
    with ThreadPoolExecutor(client.endpoint.requests) as pool:
        try:
            for started in [pool.submit(asking.one, *item) for item in asked.items()]:
                started.result()
        except BaseException:
            client.stop()
            raise
    asking.judge_held(answered)
    answers, failures = asking.answers, asking.failures
    if failures and isinstance(failures[0], OSError):
        raise HeirloomError(
            f"{file} could not be written: {failures[0].strerror}. Free some space or fix the "
            "permissions and run the same command again."
        ) from failures[0]
    if failures and not asking.tally.exceeded:
        raise HeirloomError(
            f"{failures[0]} {len(answers)} of {len(asked)} missing completions are kept now, in "
            f"{file.parent}. Put it right and run the same command again: it asks for "
            "the others alone."
        )
    return answers


@dataclass
class _Asking:
    """Requests under way, from many threads.

    A prompt that gets no answer while others do is at fault itself, and is kept as refused. Until
    others have been answered it is held; if a second prompt gets none either, the server is dead.
    """

    client: Client
    path: str
    asked: Mapping[Key, Mapping[str, Any]]
    file: Path
    tally: Tally
    answers: dict[Key, Answer] = field(default_factory=dict)
    failures: list[HeirloomError | OSError] = field(default_factory=list)
    held: dict[Key, UnansweredError] = field(default_factory=dict)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.progress = Progress(total=len(self.asked), unit="completions")

    def one(self, key: Key, body: Mapping[str, Any]) -> None:
        """Ask for one completion."""
        try:
            try:
                answer = self.client.complete(self.path, body)
            except UnansweredError as error:
                if not error.lively:
                    self._hold(key, error)
                    return
                answer = _refused(error)
            self._keep(key, answer)
        except (HeirloomError, OSError) as error:
            self._fail(error)

    def _keep(self, key: Key, answer: Answer) -> None:
        with self.writing:
            _append(self.file, {"key": key, **asdict(answer)})
            self.answers[key] = answer
            self.tally.add(key, answer)
            self.progress.update(1)
            if self.tally.exceeded:
                self.client.stop()

    def _hold(self, key: Key, error: UnansweredError) -> None:
        with self.writing:
            self.held[key] = error
            dead = [e for e in self.held.values() if e.answered == self.client.answered]
            prompts = {k[0] for k, e in self.held.items() if e in dead}
        if len(prompts) > 1:
            self._fail(dead[0])

    def _fail(self, error: HeirloomError | OSError) -> None:
        self.failures.append(error)
        self.client.stop()  # pending requests are paid for: they may finish, and are stored

    def judge_held(self, answered: Mapping[str, Any] | None) -> None:
        """Keep the prompts that are held as refused, unless the server is dead."""
        if not self.held or self.failures or self.tally.exceeded:
            return
        last = max(error.answered for error in self.held.values())
        known = next((self.asked[k] for k, a in self.answers.items() if a.has_text), answered)
        lives = self.client.lively_since(last)
        if not lives and known is not None:
            lives = self.client.lives(self.path, known)
        try:
            for key, error in self.held.items():
                if not lives:
                    self._fail(error)
                    return
                self._keep(key, _refused(error))
        except OSError as error:
            self._fail(error)


def _refused(error: UnansweredError) -> Answer:
    return Answer(None, 0, "refused", said=error.said)


def _append(file: Path, entry: Record) -> None:
    """Add a line; one that a crash truncated stays a line of its own."""
    with file.open("ab+") as lines:
        if lines.tell():
            lines.seek(-1, 2)
            if lines.read(1) != b"\n":
                lines.write(b"\n")
        lines.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


def read_answers(files: Iterable[Path]) -> dict[Key, Answer]:
    """Return the answers in files that `ask` wrote.

    Of several to one request the first with a text counts, or else the first.
    """
    found: dict[Key, Answer] = {}
    for file in files:
        for line in file.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                prompt, digest, sample = entry.pop("key")
                answer = _of_earlier(Answer(**entry))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue  # truncated in a crash, so it is asked for again
            key = (prompt, digest, sample)
            if key not in found or (answer.has_text and not found[key].has_text):
                found[key] = answer
    return found


def _of_earlier(answer: Answer) -> Answer:
    """Return an answer as it is written now: an earlier version wrote "" for no text."""
    if answer.finish_reason == "content_filter":
        return replace(answer, finish_reason="length" if answer.has_text else "filtered")
    return answer


def completion(key: Key, answer: Answer, stop: Sequence[str], format: Format) -> Completion:
    """Return an answer in the form of back ends: without stop text and surrounding space."""
    reason, text = answer.finish_reason, answer.text or ""
    ends = [text.find(end) for end in stop if end in text]
    text = text[: min(ends, default=None)]
    text = text.rstrip() if format == "continuation" else text.strip()
    if ends:
        reason = "stop"
    if not text.strip():
        reason = reason if reason in UNANSWERED else "empty"
    return Completion(
        prompt_id=key[0],
        sample=key[2],
        completion=text if text.strip() else None,
        n_tokens=answer.n_tokens,
        finish_reason=reason,
        reasoning=answer.reasoning,
    )
