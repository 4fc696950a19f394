"""Client of an OpenAI-compatible endpoint, with retries until it answers or counts as dead.

The key is read from the environment when it is needed. It is put into one header and nowhere else,
and removed from every response before anything uses it.
"""

import email.utils
import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from heirloom.generate import refusals
from heirloom.generate.answer import Answer, FailedAttemptError, excerpt, read_answer
from heirloom.generate.meter import Meter
from heirloom.generate.pace import Pace
from heirloom.generate.settings import Endpoint
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0  # seconds between two attempts, doubling
_BUSY_PAUSES = 150  # first delays that a server which has answered may be busy
_LONGEST_ASKED = 600.0  # most seconds that a server may ask to wait
_MOST_BYTES = 16 << 20  # of one answer
_WARNING_SECONDS = 10.0  # between two warnings
_BUSY = frozenset({408, 409, 425})  # worth another attempt, as every 5xx is


class EndpointError(HeirloomError):
    """The endpoint refuses a request, or is dead."""


class UnansweredError(EndpointError):
    """The endpoint gave no answer to a prompt, and may answer others.

    Attributes:
        said: The reason.
        lively: True if it answered others meanwhile, so that the prompt is the reason.
        answered: Number of answers until then.
    """

    def __init__(self, message: str, said: str, *, lively: bool, answered: int) -> None:
        super().__init__(message)
        self.said, self.lively, self.answered = said, lively, answered


class _TooManyError(FailedAttemptError):
    """Too many requests: the whole client slows down."""


class _RefusalError(Exception):
    """An answer that another attempt would not change."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {excerpt(said)}")
        self.status, self.said = status, said


class Client:
    """Sends requests to one endpoint, from any number of threads.

    Args:
        endpoint: Address, model and limits.
        meter: Limits that it shares with other jobs; None: there are none.

    Attributes:
        answered: Number of answers so far.

    Raises:
        EndpointError: The variable that should hold the key is empty.
    """

    def __init__(self, endpoint: Endpoint, meter: Meter | None = None) -> None:
        self.endpoint, self.answered = endpoint, 0
        self._key = os.environ.get(endpoint.key, "").strip() if endpoint.key else ""
        if endpoint.key and not self._key:
            raise EndpointError(
                f"the endpoint {endpoint.url} needs a key, but the environment variable "
                f"{endpoint.key} is not set: export it and run the same command again."
            )
        self._meter = meter
        self._pace = Pace(endpoint.requests, _FIRST_DELAY)
        self._stopped = threading.Event()
        self._warned = float("-inf")
        self._unknown_reasons: set[str] = set()
        self._without_neutral = False
        self._of_thread = threading.local()

    def stop(self) -> None:
        """Stop: pending requests may finish, and no new one is started."""
        self._stopped.set()
        self._pace.stop()

    def complete(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Ask for one completion.

        Args:
            path: `"chat/completions"` or `"completions"`.
            body: The request, without the model's name.

        Raises:
            UnansweredError: The server refuses this request, or gave no answer in as many attempts
                as it has.
            EndpointError: The server refuses all requests, or is dead.
        """
        body = {"model": self.endpoint.model, **body}
        delay, failures, answered = _FIRST_DELAY, 0, self.answered
        while (admitted := self._pace.enter()) is not None:
            try:
                try:
                    return self._answer(path, body)
                finally:
                    self._pace.leave()
            except _RefusalError as refusal:
                raise self._refused(path, body, refusal) from None
            except _TooManyError as failure:
                times, pause = self._pace.refused(admitted, failure.wait)
                tried = times >= self.endpoint.attempts and self._pace.silent(_patience())
                if tried or failure.wait > _LONGEST_ASKED:
                    raise self._error(_no_answer(times, failure)) from None
                self._warn(f"{failure}; all requests wait for {pause:.1f} s")
            except FailedAttemptError as failure:
                failures += 1
                lively, answered = self.lively_since(answered), self.answered
                what = _no_answer(failures, failure)
                if failure.wait > _LONGEST_ASKED:
                    raise self._error(what) from None
                if failures >= self.endpoint.attempts:
                    raise self._unanswered(what, str(failure), lively=lively) from None
                # At random, so that threads that failed together do not return together.
                pause = max(failure.wait, delay * random.uniform(0.5, 1.0))
                self._warn(f"{failure}; asking again in {pause:.1f} s")
                self._stopped.wait(pause)
                delay = min(2 * delay, _LONGEST_DELAY)
        raise self._error("is not asked any more")

    def lively_since(self, answered: int) -> bool:
        """Return True if the server answered requests that were sent after so many answers.

        As many as run at once may have been on their way.
        """
        return self.answered - answered >= self.endpoint.requests

    def lives(self, path: str, body: Mapping[str, Any]) -> bool:
        """Return True if the server answers a request, in one attempt."""
        try:
            self._answer(path, {"model": self.endpoint.model, **body})
        except (FailedAttemptError, _RefusalError, HeirloomError):
            return False
        return True

    def served(self) -> Record | None:
        """Return what the server says about its model; None if it does not, for whatever reason."""
        reason = "it does not list it"
        try:
            listed = self._ask("GET", "models", None)["data"]
            found = [entry for entry in listed if entry["id"] == self.endpoint.model]
            if found:
                return dict(found[0])
        except (FailedAttemptError, _RefusalError, EndpointError) as error:
            reason = str(error)
        except (KeyError, TypeError, ValueError):
            reason = "its list of models cannot be read"
        logger.warning(
            "%s: nothing is noted of the model %s but its name: %s",
            *(self.endpoint.url, self.endpoint.model, reason),
        )
        return None

    def _answer(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Make one attempt; or two, if the server refuses fields that change nothing.

        They are sent all the same, because servers have other defaults. One that does not know a
        field has none.

        Raises:
            FailedAttemptError: It may answer if it is asked again.
            _RefusalError: It will not.
        """
        spare = refusals.neutral_fields(body)
        bare = {name: value for name, value in body.items() if name not in spare}
        if self._without_neutral:
            return self._once(path, bare)
        try:
            return self._once(path, body)
        except _RefusalError as refusal:
            named = refusals.fields_named(refusal.said, body)
            others = named and not set(named) & set(spare)
            if refusal.status not in (400, 422) or self.answered or not spare or others:
                raise
        answer = self._once(path, bare)
        if not self._without_neutral:
            self._without_neutral = True
            logger.warning(
                "%s refuses one of %s, which are left out from here on: its own defaults apply",
                *(self.endpoint.url, ", ".join(spare)),
            )
        return answer

    def _once(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Make one attempt, charge it, and return the answer."""
        charge = None
        if self._meter:
            charge = self._meter.admit(body, self._stopped.wait)
            if charge is None:
                raise self._error("is not asked any more")
        try:
            answer, unknown = read_answer(self._ask("POST", path, body))
        except (FailedAttemptError, _RefusalError) as error:
            if self._meter and charge and not getattr(error, "paid", False):
                self._meter.cancel(charge)
            refusal = error if isinstance(error, _RefusalError) else None
            known = refusals.answer_to(refusal.status, refusal.said) if refusal else None
            if known is None:
                raise
            return known
        if self._meter and charge:
            self._meter.settle(charge, answer.prompt_tokens, answer.n_tokens)
        if unknown and unknown not in self._unknown_reasons:
            self._unknown_reasons.add(unknown)
            logger.warning(
                "%s: the finish reason %s is unknown and taken for 'stop'",
                *(self.endpoint.url, unknown),
            )
        self.answered += 1
        self._pace.answered()
        return answer

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """Make one attempt, and return the JSON document that the server answers with.

        Raises:
            FailedAttemptError: It may answer if it is asked again.
            _RefusalError: It will not.
            EndpointError: It streams.
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
                if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    raise self._streams()
                received = bytearray()
                # Some keep a connection alive with white space, which no timeout between two bytes
                # would ever end.
                for chunk in response.iter_content(1024):
                    received += chunk
                    if time.monotonic() > deadline:
                        raise requests.Timeout
                    if len(received) > _MOST_BYTES:
                        what = f"its answer exceeds {_MOST_BYTES >> 20} MiB"
                        raise FailedAttemptError(what, paid=True)
        except requests.RequestException as error:
            what = f"the connection failed ({type(error).__name__})"
            if isinstance(error, requests.Timeout):
                what = f"no answer within {self.endpoint.timeout:g} s"
            unsent = isinstance(error, requests.ConnectTimeout) or "NewConnection" in repr(error)
            raise FailedAttemptError(what, paid=not unsent) from None
        said = received.decode(errors="replace")
        if self._key:
            said = said.replace(self._key, "[the key]")
        return self._document(response.status_code, said, response.headers)

    def _document(self, status: int, said: str, headers: Mapping[str, str]) -> Any:
        """Return the document in a response, which has been read."""
        if said.lstrip().startswith(("data:", "event:")):
            raise self._streams()
        document = None
        if status == 200:
            try:
                document = json.loads(said)
            except (ValueError, RecursionError):
                what = f"its answer is not JSON: {excerpt(said)}"
                raise FailedAttemptError(what, paid=True) from None
            error = document.get("error") if isinstance(document, dict) else None
            if not error or "choices" in document:
                return document
            # Some send their errors with the status of a success.
            code = error.get("code") if isinstance(error, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
        busy = status == 429 or status in _BUSY or status >= 500
        if not busy or refusals.answer_to(status, said):
            raise _RefusalError(status, said)
        kind = _TooManyError if status == 429 else FailedAttemptError
        raise kind(f"HTTP {status}: {excerpt(said)}", _seconds_to_wait(headers))

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

    def _refused(self, path: str, body: Mapping[str, Any], refusal: _RefusalError) -> EndpointError:
        """Return the error for a refusal: of this prompt, or of all requests."""
        status, said = refusal.status, refusal.said
        found = refusals.fault(status, said, body)
        what = f"refuses /{path}, {refusal}."
        what += refusals.hint(status, said, path, body, self.endpoint)
        # Where others were answered, the same fields were taken.
        if found == "prompt" or (found == "field" and self.answered):
            return self._unanswered(what, str(refusal), lively=self.answered > 0)
        return self._error(what)

    def _unanswered(self, what: str, said: str, *, lively: bool) -> UnansweredError:
        message = str(self._error(what))
        return UnansweredError(message, said, lively=lively, answered=self.answered)

    def _streams(self) -> EndpointError:
        return self._error(
            "streams its answers (server-sent events), which are not read here. Turn streaming off "
            "on the server, or set `extra: {stream: false}` in the endpoint."
        )

    def _error(self, what: str) -> EndpointError:
        return EndpointError(
            f"the endpoint {self.endpoint.url} (model {self.endpoint.model}) {what}"
        )


def _no_answer(attempts: int, failure: FailedAttemptError) -> str:
    return f"gave no answer in {attempts} attempt(s), the last: {failure}."


def _patience() -> float:
    """Return the seconds that a server which has answered may be too busy for more."""
    return _BUSY_PAUSES * _FIRST_DELAY


def _seconds_to_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds that a response asks to wait: in ms, in s or as a date; 0 if it does not.

    A number that is no time, such as NaN, does not.
    """
    with suppress(ValueError):
        wait = float(headers.get("Retry-After-Ms", "")) / 1000
        return wait if 0 <= wait < math.inf else 0.0
    header = headers.get("Retry-After", "")
    with suppress(ValueError):
        wait = float(header)
        return wait if 0 <= wait < math.inf else 0.0
    with suppress(ValueError, TypeError, OverflowError):
        date = email.utils.parsedate_to_datetime(header)
        return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    return 0.0
