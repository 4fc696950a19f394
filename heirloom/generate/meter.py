"""Limits that all jobs of a run share: requests and tokens per minute, and money.

Their state is in two small files in the cache, each behind a lock: the times at which the next
request may start, which all users of an endpoint share, and the money spent by one study. A request
is charged at its worst case when it starts, and corrected by the server's count when it is
answered, so that the limit of the costs is never passed; one that was killed stays charged.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from heirloom.generate.settings import Endpoint
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json
from heirloom.support.work_folder import fingerprint

_MINUTE = 60.0
_CHARACTERS_PER_TOKEN = 4  # of most texts, for the pace alone
_TEMPLATE_TOKENS = 64  # more than chat templates add to a prompt


@dataclass(frozen=True)
class Charge:
    """A request as it was charged when it started.

    Attributes:
        tokens: Tokens of prompt and completion that were expected.
        money: The most that it can cost.
    """

    tokens: float
    money: float


class CostLimitError(HeirloomError):
    """Another request might pass the limit of the costs."""


class Meter:
    """Shared limits of an endpoint.

    Args:
        endpoint: Its limits and prices.
        folder: Folder of the state, shared by all jobs.
        study: Whose money is counted.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, study: str) -> None:
        self._endpoint = endpoint
        account = [endpoint.url, endpoint.model, endpoint.key]
        self._rates = folder / f"rate-{fingerprint(account)[:16]}.json"
        self._ledger = folder / f"spent-{fingerprint([study, *account])[:16]}.json"
        self._turn = threading.Lock()

    @property
    def spent(self) -> float:
        """Money spent by the study, those requests included that were killed."""
        return float(_state(self._ledger).get("spent", 0.0))

    def admit(self, body: Mapping[str, Any], pause: Callable[[float], bool]) -> Charge | None:
        """Wait until a request may start, and charge it.

        Args:
            body: The request.
            pause: Waits for so many seconds; True if the client was stopped meanwhile.

        Returns:
            The charge; None if the client was stopped.

        Raises:
            CostLimitError: The request might pass `max_cost`.
        """
        text = "".join(str(part["content"]) for part in body.get("messages", ()))
        text = text or str(body.get("prompt", ""))
        written = body.get("max_tokens", body.get("max_completion_tokens", 0))
        tokens = len(text) / _CHARACTERS_PER_TOKEN + written
        # A token is a byte at least.
        charge = Charge(
            tokens, self._price(len(text.encode(errors="replace")) + _TEMPLATE_TOKENS, written)
        )
        with self._turn:  # of this job's threads one waits for the others of the run
            while (wait := self._start(charge)) > 0:
                if pause(wait):
                    return None
        return charge

    def settle(self, charge: Charge, prompt_tokens: int | None, n_tokens: int | None) -> None:
        """Correct a charge by the server's counts; without them it stays as it is."""
        if prompt_tokens is None or n_tokens is None:
            return
        self._correct(charge, prompt_tokens + n_tokens, self._price(prompt_tokens, n_tokens))

    def cancel(self, charge: Charge) -> None:
        """Take back the charge of a request that the server refused."""
        self._correct(charge, 0.0, 0.0)

    def _price(self, read: float, written: float) -> float:
        price = self._endpoint.price
        return price.of(read, written) if price else 0.0

    def _start(self, charge: Charge) -> float:
        """Charge a request and return 0, or return the seconds to wait."""
        endpoint = self._endpoint
        if endpoint.requests_per_minute or endpoint.tokens_per_minute:
            with _locked(self._rates) as state:
                now = time.time()
                due = [
                    # No later than a clock that was set back allows.
                    min(state.get(name, 0.0), now + _MINUTE)
                    for name in ("requests", "tokens")
                ]
                if max(due) > now:
                    return float(max(due) - now)
                self._charge_money(charge)
                if endpoint.requests_per_minute:
                    state["requests"] = now + _MINUTE / endpoint.requests_per_minute
                if endpoint.tokens_per_minute:
                    state["tokens"] = now + _MINUTE * charge.tokens / endpoint.tokens_per_minute
        else:
            self._charge_money(charge)
        return 0.0

    def _charge_money(self, charge: Charge) -> None:
        endpoint = self._endpoint
        if endpoint.price is None:
            return
        with _locked(self._ledger) as state:
            spent = state.get("spent", 0.0)
            if endpoint.max_cost is not None and spent + charge.money > endpoint.max_cost:
                raise CostLimitError(
                    f"the study has spent {spent:.4g} at {endpoint.url} (model {endpoint.model}), "
                    f"and another request may cost {charge.money:.4g}: together more than "
                    f"max_cost, {endpoint.max_cost:g}. Raise max_cost to go on."
                )
            state["spent"] = spent + charge.money

    def _correct(self, charge: Charge, tokens: float, money: float) -> None:
        per_minute = self._endpoint.tokens_per_minute
        if per_minute and tokens != charge.tokens:
            with _locked(self._rates) as state:
                late = state.get("tokens", 0.0) + _MINUTE * (tokens - charge.tokens) / per_minute
                state["tokens"] = late
        if self._endpoint.price is not None:
            with _locked(self._ledger) as state:
                state["spent"] = state.get("spent", 0.0) + money - charge.money


@contextmanager
def _locked(file: Path) -> Iterator[Record]:
    """Yield the state in a file, locked, and write it back if the block changed it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        state = _state(file)
        before = dict(state)
        yield state
        if state != before:
            write_json(file, state)


def _state(file: Path) -> Record:
    with suppress(HeirloomError):
        found: Record = read_json(file)
        return found
    return {}
