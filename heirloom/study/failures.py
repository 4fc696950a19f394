"""The failed jobs of a run, each with its message in one line."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 400  # characters of a message
# As `heirloom.support.log` writes records.
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) \S+: (.*)$")


@dataclass(frozen=True)
class FailedJob:
    """A job that failed for good.

    Attributes:
        name: Its rule and wildcards.
        logs: Its log files.
    """

    name: str
    logs: Sequence[str]


def failure_lines(jobs: Iterable[FailedJob]) -> list[str]:
    """Return one line per failed job: its name, its message, and its log."""
    lines = []
    for job in sorted(jobs, key=lambda job: job.name):
        found = [(log, message) for log in job.logs if (message := last_error(Path(log)))]
        log, message = found[0] if found else (", ".join(job.logs), "")
        message = message or "it ended without a message, as when memory runs out or it is killed"
        lines.append(f"  - {job.name}: {message}" + (f" [{log}]" if log else ""))
    return lines


def last_error(log: Path) -> str:
    """Return the last error in a job's log as one line; empty where there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    level, message = "", [""]
    for line in lines:
        record = _RECORD.match(line)
        if record and record[1] in ("ERROR", "CRITICAL"):
            level, message = record[1], [record[2]]
        elif record:
            continue
        elif level:
            message.append(line)
    # Of a traceback the last line says what was wrong.
    told = [line.strip() for line in message if line.strip()]
    text = told[-1] if level == "CRITICAL" and told else " ".join(told)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
