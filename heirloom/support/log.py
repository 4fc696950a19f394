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
    """Log a job's progress and the time that is left, at most every ten seconds.

    Example:
        >>> progress = Progress(total=200, unit="candidates")
        >>> progress.update(80)
    """

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit = total, unit
        self.done = 0
        self._started = self._last = time.monotonic()

    def update(self, count: int) -> None:
        """Count `count` more units as done."""
        self.done += count
        now = time.monotonic()
        if now - self._last < _INTERVAL and self.done < self.total:
            return
        self._last = now
        left = (now - self._started) / max(self.done, 1) * (self.total - self.done)
        logging.getLogger(__name__).info(
            "%d of %d %s, about %.0f s left", self.done, self.total, self.unit, left
        )
