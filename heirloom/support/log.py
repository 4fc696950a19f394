"""Logging for jobs: one file and stderr, with uncaught errors in both.

A Python script that fails under Snakemake leaves its `log:` file empty unless somebody writes the
traceback there.
"""

import logging
import sys
import time
from pathlib import Path
from types import TracebackType

from heirloom.support.errors import HeirloomError

_INTERVAL = 10.0  # seconds between two progress lines


def setup(path: str | Path, label: str) -> None:
    """Send log records to `path` and to stderr, each line there starting with `label`.

    An uncaught `HeirloomError` is shown as its message alone, anything else with its traceback.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_stderr = logging.StreamHandler()
    to_stderr.setFormatter(logging.Formatter(f"[{label}] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_stderr], force=True)
    logging.captureWarnings(True)
    for chatty in ("httpx", "httpcore", "filelock", "py.warnings", "matplotlib", "accelerate"):
        logging.getLogger(chatty).setLevel(logging.ERROR)

    def log_uncaught(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, HeirloomError):
            logging.error("%s", error)
        else:
            logging.critical("This job failed:", exc_info=(kind, error, traceback))

    sys.excepthook = log_uncaught


class Progress:
    """Log a job's progress, at most every ten seconds, and the time left once that can be told.

    Nothing is estimated before this job has finished a unit. Where units are texts that are being
    generated, the estimate counts tokens: those that finish first are the short ones, and many grow
    at once.

    Args:
        total: Number of units.
        unit: Their name.
        longest: Maximum number of tokens of a unit, where tokens are counted.

    Example:
        >>> progress = Progress(total=200, unit="candidates")
        >>> progress.update(80)
    """

    def __init__(self, total: int, unit: str, *, longest: int | None = None) -> None:
        self.total, self.unit, self.longest = total, unit, longest
        self.done = self.own = self.tokens = 0
        self._last = time.monotonic()
        self.begin()

    def begin(self) -> None:
        """Start the clock: the time before, as to load a model, says nothing about the rest."""
        self._started = time.monotonic()

    def skip(self, count: int) -> None:
        """Count `count` units as done that were there before, and say nothing about speed."""
        self.done += count

    def update(self, count: int, *, tokens: int = 0) -> None:
        """Count `count` more units as done, and tokens that any unit has grown by."""
        self.done += count
        self.own += count
        self.tokens += tokens
        now = time.monotonic()
        finished = count > 0 and self.done >= self.total
        if now - self._last < _INTERVAL and not finished:
            return
        self._last = now
        seconds = self.seconds_left()
        left = "" if seconds is None or finished else f", about {duration(seconds)} left"
        logging.getLogger(__name__).info("%d of %d %s%s", self.done, self.total, self.unit, left)

    def seconds_left(self) -> float | None:
        """Estimated seconds left; None if there is nothing to go by."""
        if not self.own:
            return None
        elapsed, remaining = time.monotonic() - self._started, self.total - self.done
        if self.longest is None or not self.tokens:
            return elapsed / self.own * remaining
        mean = min(self.longest, self.tokens / self.own)
        return elapsed / self.tokens * max(mean * (self.own + remaining) - self.tokens, 0.0)


def duration(seconds: float) -> str:
    """Return a time to wait for in words, no more exactly than it is known."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h"
