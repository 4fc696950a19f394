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


def test_a_line_a_job(
    handler: plugin.LogHandler, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    run(handler, clock, 1, "generate", 100.0)
    # A second generate of 100 s, and a finetune: typically 60 s against generate's 50, and twice
    # as slow here, so 120 s. 220 s on two cores are 110 s, which rounds to 2 minutes.
    run(handler, clock, 2, "generate", 300.0)
    # One finetune is left. Generation took 200 s where 50 are typical: 4 x 60 s / 2 cores.
    run(handler, clock, 3, "finetune", 60.0)
    run(handler, clock, 4, "all", 0.0)
    assert capsys.readouterr().err.splitlines() == [
        "12:00:00 1 of 3 jobs done: generate ant in 100 s; about 2 min left",
        "12:00:00 2 of 3 jobs done: generate ant in 300 s; about 2 min left",
        "12:00:00 3 of 3 jobs done: finetune ant in 60 s",
    ]


def test_a_job_that_runs_counts_for_what_it_has_done(
    handler: plugin.LogHandler, clock: Clock
) -> None:
    emit(handler, LogEvent.JOB_INFO, jobid=1, rule_name="finetune", wildcards={})
    emit(handler, LogEvent.JOB_STARTED, jobs=[1])
    clock.now += 40.0
    # Nothing is done: 2 x 50 + 60 s typically, less the 40 that one has run, on 2 cores.
    assert handler.seconds_left() == 60.0


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
