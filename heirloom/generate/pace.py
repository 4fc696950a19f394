"""The pace of a client: one for all its threads, slowed down where the server is busy."""

import random
import threading
import time

_LONGEST_PAUSE = 60.0


class Pace:
    """Admits requests, and admits fewer and later ones while the server refuses them as too many.

    After a refusal nothing is sent for a pause that doubles from one refusal to the next; then one
    request goes first, and every answer admits more of them.

    Args:
        most: Maximum number of concurrent requests.
        first_pause: Seconds of the first pause.
    """

    def __init__(self, most: int, first_pause: float) -> None:
        self._most, self._first = most, first_pause
        self._limit, self._pause = float(most), first_pause
        self._running = self._refusals = 0
        self._closed_at = self._open_at = self._heard_at = float("-inf")
        self._changed = threading.Condition()
        self._stopped = False

    def stop(self) -> None:
        """Admit nothing any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def enter(self) -> float | None:
        """Wait for admission, and return its time; None once stopped."""
        with self._changed:
            while not self._stopped:
                closed = self._open_at - time.monotonic()
                if closed <= 0 and self._running < self._limit:
                    self._running += 1
                    return time.monotonic()
                self._changed.wait(closed if closed > 0 else None)
            return None

    def leave(self) -> None:
        """Take note that a request has ended."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def answered(self) -> None:
        """Take note of an answer."""
        with self._changed:
            self._refusals, self._heard_at = 0, time.monotonic()
            self._limit = min(self._most, self._limit + 1)
            self._pause = max(self._first, self._pause / 2)
            self._changed.notify_all()

    def silent(self, seconds: float) -> bool:
        """Return True if no answer has come for so many seconds."""
        return time.monotonic() - self._heard_at >= seconds

    def refused(self, admitted: float, wait: float) -> tuple[int, float]:
        """Slow down after a refusal of too many requests.

        Args:
            admitted: Time of the request's admission.
            wait: Seconds that the server asks for, 0 if it does not say.

        Returns:
            The number of refusals since the last answer, where those of requests that were on their
            way together count as one; and the seconds until the next request.
        """
        with self._changed:
            now = time.monotonic()
            pause = wait
            if admitted >= self._closed_at:
                self._refusals += 1
                self._closed_at = now
                self._limit = 1.0
                # At random, so that jobs that were refused together do not return together.
                pause = max(wait, self._pause * random.uniform(0.5, 1.0))
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._open_at = max(self._open_at, now + pause)
            return self._refusals, self._open_at - now
