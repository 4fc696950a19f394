"""Client of an OpenAI-compatible endpoint, with retries until it answers or counts as dead.

The key is read from the environment when it is needed. It is put into one header and nowhere else,
and removed from every response before anything uses it.
"""

import email.utils
import json
import logging
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heirloom.generate.reasoning import of_message
from heirloom.generate.settings import Endpoint
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_json
from heirloom.support.work_folder import fingerprint

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0  # seconds between two attempts, doubling
_LONGEST_ASKED = 600.0  # most seconds that a server may ask to wait
_MOST_BYTES = 16 << 20  # of one answer
_WARNING_SECONDS = 10.0  # between two warnings
_SHOWN = 300  # characters of what a server says in an error
_BUSY = frozenset({408, 409, 425, 429})  # worth another attempt, as every 5xx is
# How servers say that prompt and completion exceed the context: OpenAI and vLLM, llama.cpp.
_TOO_LONG = re.compile(r"context_length_exceeded|maximum context length|exceed_context_size")


class EndpointError(HeirloomError):
    """The endpoint refuses a request, or is dead."""


@dataclass(frozen=True)
class Answer:
    """A completion as a server gives it.

    Attributes:
        text: The text as it came, "" where prompt and completion exceed the model's context.
        n_tokens: Tokens generated, as the server counts them; None if it does not say.
        finish_reason: `"stop"`, `"length"`, `"too_long"`, or `"content_filter"`.
        served_by: Name that the server has for the model that answered.
        tokens: The tokens of the text, from a server that was asked for them and gives them.
        reasoning: The reasoning that the server gives apart from the text; None if it gives none.
    """

    text: str
    n_tokens: int | None
    finish_reason: str
    served_by: str | None = None
    tokens: list[int] | None = None
    reasoning: str | None = None


class _FailedAttemptError(Exception):
    """Worth another attempt, at the earliest after `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _RefusalError(Exception):
    """An answer that another attempt would not change."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {_excerpt(said)}")
        self.status, self.said = status, said


class Client:
    """Sends requests to one endpoint, from any number of threads.

    Args:
        endpoint: Address, model and limits.

    Raises:
        EndpointError: The variable that should hold the key is empty.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._key = os.environ.get(endpoint.key, "").strip() if endpoint.key else ""
        if endpoint.key and not self._key:
            raise EndpointError(
                f"the endpoint {endpoint.url} needs a key, but the environment variable "
                f"{endpoint.key} is not set: export it and run the same command again."
            )
        self._stopped = threading.Event()
        self._warned = float("-inf")
        self._of_thread = threading.local()

    def stop(self) -> None:
        """Stop: pending requests may finish, and no new one is started."""
        self._stopped.set()

    def complete(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Ask for one completion.

        Args:
            path: `"chat/completions"` or `"completions"`.
            body: The request, without the model's name.

        Raises:
            EndpointError: The server refuses, or gave no answer in as many attempts as it has.
        """
        body = {"model": self.endpoint.model, **body}
        delay = _FIRST_DELAY
        for attempt in range(1, self.endpoint.attempts + 1):
            if self._stopped.is_set():
                break
            try:
                return _read(self._ask("POST", path, body))
            except _RefusalError as refusal:
                if refusal.status in (400, 413) and _TOO_LONG.search(refusal.said):
                    return Answer("", 0, "too_long")
                hint = self._hint(refusal.status, path)
                raise self._error(f"refuses /{path}, {refusal}.{hint}") from None
            except _FailedAttemptError as failure:
                if attempt == self.endpoint.attempts or failure.wait > _LONGEST_ASKED:
                    raise self._error(
                        f"gave no answer in {attempt} attempt(s), the last: {failure}."
                    ) from None
                # At random, so that threads that were refused together do not return together.
                pause = max(failure.wait, delay * random.uniform(0.5, 1.0))
                self._warn(f"{failure}; asking again in {pause:.1f} s")
                self._stopped.wait(pause)
                delay = min(2 * delay, _LONGEST_DELAY)
        raise self._error("is not asked any more")

    def served(self) -> Record | None:
        """Return what the server says about its model; None if it does not, for whatever reason."""
        reason = "it does not list it"
        try:
            listed = self._ask("GET", "models", None)["data"]
            found = [entry for entry in listed if entry["id"] == self.endpoint.model]
            if found:
                return dict(found[0])
        except (_FailedAttemptError, _RefusalError) as error:
            reason = str(error)
        except (KeyError, TypeError, ValueError):
            reason = "its list of models cannot be read"
        logger.warning(
            "%s: nothing is noted of the model %s but its name: %s",
            *(self.endpoint.url, self.endpoint.model, reason),
        )
        return None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """Make one attempt, and return the JSON document that the server answers with.

        Raises:
            _FailedAttemptError: It may answer if it is asked again.
            _RefusalError: It will not.
        """
        import requests

        deadline = time.monotonic() + self.endpoint.timeout
        try:
            with self._session().request(
                method,
                f"{self.endpoint.url}/{path}",
                json=body,
                stream=True,
                timeout=(_CONNECT_SECONDS, self.endpoint.timeout),
                allow_redirects=False,
            ) as response:
                received = bytearray()
                # Some keep a connection alive with white space, which no timeout between two bytes
                # would ever end.
                for chunk in response.iter_content(1024):
                    received += chunk
                    if time.monotonic() > deadline:
                        raise requests.Timeout
                    if len(received) > _MOST_BYTES:
                        raise _FailedAttemptError(f"its answer exceeds {_MOST_BYTES >> 20} MiB")
        except requests.Timeout:
            raise _FailedAttemptError(f"no answer within {self.endpoint.timeout:g} s") from None
        except requests.RequestException as error:
            raise _FailedAttemptError(f"the connection failed ({type(error).__name__})") from None
        said = received.decode(errors="replace")
        if self._key:
            said = said.replace(self._key, "[the key]")
        status = response.status_code
        if status in _BUSY or status >= 500:
            wait = _seconds_to_wait(response.headers.get("Retry-After", ""))
            raise _FailedAttemptError(f"HTTP {status}: {_excerpt(said)}", wait)
        if status != 200:
            raise _RefusalError(status, said)
        try:
            return json.loads(said)
        except ValueError:
            raise _FailedAttemptError(f"its answer is not JSON: {_excerpt(said)}") from None

    def _session(self) -> "requests.Session":
        """Return this thread's connections."""
        import requests

        if not hasattr(self._of_thread, "session"):
            session = requests.Session()
            # Not as a header: one from ~/.netrc would take its place.
            session.auth = self._authorise
            # No proxy stands between this machine and itself.
            session.trust_env = not self.endpoint.local
            self._of_thread.session = session
        found: requests.Session = self._of_thread.session
        return found

    def _authorise(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _warn(self, what: str) -> None:
        """Log a warning, but rarely: many threads meet the same problem."""
        if time.monotonic() > self._warned + _WARNING_SECONDS:
            self._warned = time.monotonic()
            logger.warning("%s: %s", self.endpoint.url, what)

    def _hint(self, status: int, path: str) -> str:
        if status in (401, 403):
            if self.endpoint.key:
                return f" Is the key in {self.endpoint.key} the right one?"
            return " If it wants a key, name the environment variable that holds it in `key`."
        if 300 <= status < 400:
            return " It sends clients elsewhere: put the address that it has now into `url`."
        if status == 404 and path == "completions":
            return " If it serves chat alone, set `completions: no`."
        if self.endpoint.api == "extended":
            return " If it refuses top_k, min_p or repetition_penalty, set `api: openai`."
        return ""

    def _error(self, what: str) -> EndpointError:
        return EndpointError(
            f"the endpoint {self.endpoint.url} (model {self.endpoint.model}) {what}"
        )


def _read(document: Any) -> Answer:
    """Return the answer in a response of either kind of completions.

    Raises:
        _FailedAttemptError: There is none in it.
    """
    try:
        choice = document["choices"][0]
        reason = choice["finish_reason"]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        reasoning = of_message(choice.get("message") or {})
        n_tokens = (document.get("usage") or {}).get("completion_tokens")
    except (KeyError, IndexError, TypeError, AttributeError):
        said = _excerpt(json.dumps(document))
        raise _FailedAttemptError(f"its answer holds no completion: {said}") from None
    if reason not in ("stop", "length", "content_filter"):
        raise _FailedAttemptError(f"its answer ended for the reason {reason!r}")
    if text is None and (reason != "stop" or reasoning):
        text = ""  # all its tokens were spent on reasoning, or a filter removed everything
    if not isinstance(text, str) or not isinstance(n_tokens, int | None):
        raise _FailedAttemptError("its answer holds no text")
    # Half a surrogate pair, which JSON allows, could be written into no file.
    whole = text.encode(errors="replace").decode()
    served_by = str(document.get("model"))
    return Answer(whole, n_tokens, reason, served_by, choice.get("token_ids"), reasoning)


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


def _seconds_to_wait(header: str) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a date; 0 without one."""
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(ValueError):
        date = email.utils.parsedate_to_datetime(header)
        return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    return 0.0


def _excerpt(text: str) -> str:
    """Return the beginning of a server's message, on one line."""
    line = " ".join(text.split())
    return repr(line[:_SHOWN] + (" ..." if len(line) > _SHOWN else ""))
