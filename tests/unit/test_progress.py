"""The progress lines of `make demo`."""

from logging import INFO, WARNING, makeLogRecord
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_heirloom as plugin


class Clock:
    """Time that passes when the test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, form: str) -> str:
        return "12:00:00"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(plugin, "time", clock)
    return clock


@pytest.fixture
def handler(clock: Clock) -> plugin.LogHandler:
    handler = plugin.LogHandler(None, None)  # type: ignore[arg-type]
    emit(handler, LogEvent.RUN_INFO, stats={"generate": 2, "finetune": 1, "all": 1, "total": 4})
    emit(handler, LogEvent.RESOURCES_INFO, cores=2)
    return handler


def emit(handler: plugin.LogHandler, event: LogEvent | None, **fields: Any) -> None:
    record = {"levelno": INFO, "msg": "", **fields}
    handler.emit(makeLogRecord(record if event is None else {**record, "event": event}))


def run(handler: plugin.LogHandler, clock: Clock, job: int, rule: str, seconds: float) -> None:
    emit(handler, LogEvent.JOB_INFO, jobid=job, rule_name=rule, wildcards={"teacher": "ant"})
    emit(handler, LogEvent.JOB_STARTED, jobs=[job])
    clock.now += seconds
    emit(handler, LogEvent.JOB_FINISHED, job_id=job)


def test_a_line_per_job(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    handler = plugin.LogHandler(None, None)  # type: ignore[arg-type]
    stats = {"generate": 3, "finetune": 2, "gather_scores": 1, "all": 1, "total": 7}
    emit(handler, LogEvent.RUN_INFO, stats=stats)
    emit(handler, LogEvent.RESOURCES_INFO, cores=2)
    run(handler, clock, 1, "generate", 100.0)
    run(handler, clock, 2, "generate", 300.0)
    # A generate of the mean, 200 s, a finetune of 60 s and a moment of 2 s: 262 s on two cores.
    run(handler, clock, 3, "finetune", 60.0)
    run(handler, clock, 4, "generate", 560.0)
    # A finetune of 60 s and the moment, on two cores.
    run(handler, clock, 5, "gather_scores", 4.0)
    run(handler, clock, 6, "finetune", 60.0)
    run(handler, clock, 7, "all", 0.0)
    assert capsys.readouterr().err.splitlines() == [
        "12:00:00 6 jobs to do",
        "12:00:00 1 of 6 jobs done: generate ant in 100 s; "
        "left: 2 generate, 2 finetune, 1 gather_scores",
        "12:00:00 2 of 6 jobs done: generate ant in 300 s; "
        "left: 1 generate, 2 finetune, 1 gather_scores",
        "12:00:00 3 of 6 jobs done: finetune ant in 60 s; "
        "left: 1 generate, 1 finetune, 1 gather_scores, about 2 min",
        "12:00:00 4 of 6 jobs done: generate ant in 560 s; "
        "left: 1 finetune, 1 gather_scores, about 31 s",
        "12:00:00 5 of 6 jobs done: gather_scores ant in 4 s; left: 1 finetune, about 30 s",
        "12:00:00 6 of 6 jobs done: finetune ant in 60 s",
    ]


def test_a_job_that_runs_counts_for_what_it_has_done(
    handler: plugin.LogHandler, clock: Clock
) -> None:
    run(handler, clock, 1, "finetune", 60.0)
    assert handler.seconds_left() is None  # nothing is known of two generate jobs
    run(handler, clock, 2, "generate", 100.0)
    emit(handler, LogEvent.JOB_INFO, jobid=3, rule_name="generate", wildcards={})
    emit(handler, LogEvent.JOB_STARTED, jobs=[3])
    clock.now += 40.0
    # One generate of 100 s, less the 40 that it has run, on 2 cores.
    assert handler.seconds_left() == 30.0


def test_what_is_said_besides(
    handler: plugin.LogHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    emit(handler, None, msg="Nothing to be done (all requested files are present and up to date).")
    emit(handler, None, msg="Select jobs to execute...")
    emit(handler, None, msg="disk is slow", levelno=WARNING)
    emit(handler, LogEvent.ERROR, msg="WorkflowError: no such rule")
    said = capsys.readouterr().err
    assert "Nothing to be done" in said
    assert "Select jobs" not in said
    assert "disk is slow" in said
    assert "WorkflowError" in said
