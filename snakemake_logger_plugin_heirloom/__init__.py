"""Snakemake's log as one line per finished job: its name, the progress, and what is left.

Used by `make demo`: `python -m snakemake --logger heirloom`. Snakemake finds it by its name if the
working directory is on the path, as it is with `python -m`. Errors and warnings are shown
unchanged.
"""

import sys
import time
from collections import Counter, defaultdict
from logging import WARNING
from typing import Any

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Rules whose jobs take about as long as Python takes to start, in every study.
MOMENTARY = frozenset(
    {
        *("train_prompts", "eval_prompts", "gather_candidates", "gather_scores", "select", "pair"),
        *("plan", "tables", "costs", "studies", "figures", "report", "cards", "crate"),
    }
)
MOMENT = 2.0


class LogHandler(LogHandlerBase):
    """Counts jobs by rule and prints a line when one ends."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Start with nothing to do."""
        self.errors = DefaultFormatter(quiet=set(), show_failed_logs=True)
        self.left: Counter[str] = Counter()
        self.total = 0
        self.cores = 1
        self.names: dict[int, tuple[str, str]] = {}  # job id -> rule, rule with wildcards
        self.started: dict[int, float] = {}
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def emit(self, record: Any) -> None:
        """Print what a record tells a user, if anything."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            rules = {name: n for name, n in record.stats.items() if name not in ("total", "all")}
            self.left = Counter(rules)
            self.total = sum(self.left.values())
            self.say(f"{self.total} jobs to do")
        elif event == LogEvent.RESOURCES_INFO and getattr(record, "cores", None):
            self.cores = record.cores
        elif event == LogEvent.JOB_INFO:
            wildcards = [str(value) for value in (record.wildcards or {}).values()]
            self.names[record.jobid] = (record.rule_name, " ".join([record.rule_name, *wildcards]))
        elif event == LogEvent.JOB_STARTED:
            self.started.update(dict.fromkeys(record.jobs, time.monotonic()))
        elif event == LogEvent.JOB_FINISHED:
            self.finish(record.job_id)
        elif event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR):
            self.say(self.errors.format(record))
        elif event is None and (
            record.levelno >= WARNING or record.getMessage().startswith("Nothing to be done")
        ):
            self.say(record.getMessage())

    def finish(self, job_id: int) -> None:
        """Count a job as done and say how far the study is."""
        rule, name = self.names.get(job_id, ("", ""))
        if rule not in self.left:  # the target rule, which does nothing
            return
        taken = time.monotonic() - self.started.pop(job_id, time.monotonic())
        self.seconds[rule].append(taken)
        self.left[rule] -= 1
        done = self.total - sum(self.left.values())
        line = f"{done} of {self.total} jobs done: {name} in {taken:.0f} s"
        if done < self.total:
            line += f"; left: {self.what_is_left()}"
            seconds = self.seconds_left()
            line += "" if seconds is None else f", about {_duration(seconds)}"
        self.say(line)

    def what_is_left(self) -> str:
        """The jobs left by their rule, in the order in which rules began."""
        kinds = {**dict.fromkeys(self.seconds), **self.left}
        return ", ".join(f"{self.left[rule]} {rule}" for rule in kinds if self.left[rule])

    def seconds_left(self) -> float | None:
        """Estimated seconds left: remaining jobs at the mean time of their rule, over all cores.

        None as long as no job is done of a rule that has jobs left, except of such as take no
        noticeable time.
        """
        left = 0.0
        for rule, count in self.left.items():
            done = self.seconds.get(rule)
            if count and not done and rule not in MOMENTARY:
                return None
            left += count * (sum(done) / len(done) if done else MOMENT)
        now = time.monotonic()
        running = sum(now - start for start in self.started.values())
        return max(left - running, 0.0) / self.cores

    def say(self, text: str) -> None:
        """Print one message."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """A time to wait for, no more exactly than it is known; the plugin imports no heirloom."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h"
