"""Snakemake's log in short: a line when a job ends that took a while, with the time left.

Used by `make demo`: `python -m snakemake --logger heirloom`. Snakemake finds it by its name if the
working directory is on the path, as it is with `python -m`. Errors and warnings are shown
unchanged. `snakemake-logger-plugin-rich` 0.5.1 draws a bar per rule, with the time that has passed
and none that is left, and says nothing of jobs where standard error is a file. Hence this one.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from logging import WARNING
from typing import Any

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

SHORT = 5.0  # seconds; jobs that take less are counted, and have no line of their own
MOMENT = 2.0  # seconds of a job whose cost nobody predicts: about what Python takes to start
NAMES = 2  # running jobs that are named; of more, the number per rule is told

_predicted: dict[str, float] = {}


def predict(costs: Mapping[str, float]) -> None:
    """State what one job of each rule costs, in any unit; rules left out take a moment.

    As soon as one of these rules has been measured, its cost tells how long the others will take.
    """
    _predicted.update(costs)


class LogHandler(LogHandlerBase):
    """Counts jobs by rule and says how far the run is."""

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
        self.width = 1  # jobs at once
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
        elif event == LogEvent.RESOURCES_INFO:
            self.width = getattr(record, "cores", 0) or getattr(record, "nodes", 0) or self.width
        elif event == LogEvent.JOB_INFO:
            wildcards = [str(value) for value in (record.wildcards or {}).values()]
            shown = [value for value in wildcards if value != "1-of-1"]
            self.names[record.jobid] = (record.rule_name, " ".join([record.rule_name, *shown]))
        elif event == LogEvent.JOB_STARTED:
            self.started.update(dict.fromkeys(record.jobs, time.monotonic()))
        elif event == LogEvent.JOB_FINISHED:
            self.finish(record.job_id)
        elif event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR):
            self.started.pop(getattr(record, "jobid", -1), None)
            self.say(self.errors.format(record))
        elif event is None and (
            record.levelno >= WARNING or record.getMessage().startswith("Nothing to be done")
        ):
            self.say(record.getMessage())

    def finish(self, job_id: int) -> None:
        """Count a job as done, and say how far the run is unless the job was a short one."""
        rule, name = self.names.pop(job_id, ("", ""))
        taken = time.monotonic() - self.started.pop(job_id, time.monotonic())
        if rule not in self.left:  # the target rule, which does nothing
            return
        self.seconds[rule].append(taken)
        self.left[rule] -= 1
        done = self.total - sum(self.left.values())
        if taken < SHORT and done < self.total:
            return
        parts = [f"{done} of {self.total} jobs done: {name} in {taken:.0f} s"]
        seconds = self.seconds_left() if done < self.total else None
        parts += [] if seconds is None else [f"about {_duration(seconds)} left"]
        parts += [f"running: {running}"] if (running := self.running()) else []
        self.say("; ".join(parts))

    def running(self) -> str:
        """The jobs that run: by name if they are few, else their number per rule."""
        jobs = [self.names[job] for job in self.started if job in self.names]
        if len(jobs) <= NAMES:
            return ", ".join(name for _, name in jobs)
        return ", ".join(f"{n} {rule}" for rule, n in Counter(rule for rule, _ in jobs).items())

    def seconds_left(self) -> float | None:
        """Estimated seconds left: the remaining jobs at the cost of their rule, side by side.

        A rule's cost is the mean time of its finished jobs; before there is one, the predicted
        cost, times what the measured rules took in proportion to theirs. None as long as none of
        the rules with a predicted cost has been measured.
        """
        measured = {rule: sum(taken) / len(taken) for rule, taken in self.seconds.items()}
        known = [rule for rule in measured if rule in _predicted]
        foretold = sum(_predicted[rule] * len(self.seconds[rule]) for rule in known)
        if not foretold and any(self.left[rule] for rule in _predicted):
            return None
        scale = sum(sum(self.seconds[rule]) for rule in known) / foretold if foretold else 0.0

        def cost(rule: str) -> float:
            return measured.get(rule, scale * _predicted[rule] if rule in _predicted else MOMENT)

        now = time.monotonic()
        own = {job: cost(self.names[job][0]) for job in self.started if job in self.names}
        # A job that takes longer than its cost is about to end.
        running = [max(seconds - now + self.started[job], 0.0) for job, seconds in own.items()]
        waiting = self.left - Counter(self.names[job][0] for job in own)
        begins = [cost(rule) for rule, n in waiting.items() if n]
        total = sum(running) + sum(cost(rule) * n for rule, n in waiting.items())
        return max([total / self.width, *running, *begins])

    def say(self, text: str) -> None:
        """Print one message."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """A time to wait for, no more exactly than it is known; the plugin imports no heirloom."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h"
