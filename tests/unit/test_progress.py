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
def handler(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> plugin.LogHandler:
    """Of a run of two jobs at once, in which a finetune costs three times a generate."""
    monkeypatch.setattr(plugin, "_predicted", {})
    plugin.predict({"generate": 10.0, "finetune": 30.0})
    handler = plugin.LogHandler(None, None)  # type: ignore[arg-type]
    stats = {"generate": 3, "finetune": 2, "gather_scores": 1, "all": 1, "total": 7}
    emit(handler, LogEvent.RUN_INFO, stats=stats)
    emit(handler, LogEvent.RESOURCES_INFO, cores=2)
    return handler


def emit(handler: plugin.LogHandler, event: LogEvent | None, **fields: Any) -> None:
    record = {"levelno": INFO, "msg": "", **fields}
    handler.emit(makeLogRecord(record if event is None else {**record, "event": event}))


def start(handler: plugin.LogHandler, job: int, rule: str, **wildcards: str) -> None:
    emit(handler, LogEvent.JOB_INFO, jobid=job, rule_name=rule, wildcards=wildcards)
    emit(handler, LogEvent.JOB_STARTED, jobs=[job])


def run(handler: plugin.LogHandler, clock: Clock, job: int, rule: str, seconds: float) -> None:
    start(handler, job, rule, teacher="ant", scatteritem="1-of-1")
    clock.now += seconds
    emit(handler, LogEvent.JOB_FINISHED, job_id=job)


def test_a_line_per_job_that_took_a_while(
    handler: plugin.LogHandler, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    # 2 generate of 100 s, 2 finetune of three times as much, 1 moment of 2 s: 802 s on two cores.
    run(handler, clock, 1, "generate", 100.0)
    # 1 generate of their mean, 200 s, 2 finetune of 600 s and the moment: 1402 s on two cores.
    run(handler, clock, 2, "generate", 300.0)
    # 1 finetune as measured, 60 s, 1 generate of 200 s and the moment: 262 s on two cores, but no
    # less than the 200 s of the longest job.
    run(handler, clock, 3, "finetune", 60.0)
    run(handler, clock, 4, "gather_scores", 4.0)  # counted, with no line
    run(handler, clock, 5, "generate", 560.0)  # 1 finetune of 60 s is left
    run(handler, clock, 6, "finetune", 1.0)  # the last job has a line, however short
    run(handler, clock, 7, "all", 0.0)
    assert capsys.readouterr().err.splitlines() == [
        "12:00:00 1 of 6 jobs done: generate ant in 100 s; about 7 min left",
        "12:00:00 2 of 6 jobs done: generate ant in 300 s; about 12 min left",
        "12:00:00 3 of 6 jobs done: finetune ant in 60 s; about 3 min left",
        "12:00:00 5 of 6 jobs done: generate ant in 560 s; about 60 s left",
        "12:00:00 6 of 6 jobs done: finetune ant in 1 s",
    ]


def test_nothing_is_estimated_before_something_is_measured(
    handler: plugin.LogHandler, clock: Clock
) -> None:
    assert handler.seconds_left() is None
    run(handler, clock, 1, "gather_scores", 5.0)  # says nothing of what jobs with models take
    assert handler.seconds_left() is None
    run(handler, clock, 2, "generate", 20.0)
    # 2 generate of 20 s and 2 finetune of 60 s on two cores.
    assert handler.seconds_left() == 80.0


def test_a_job_that_runs_counts_for_what_it_has_done(
    handler: plugin.LogHandler, clock: Clock
) -> None:
    run(handler, clock, 1, "generate", 100.0)
    run(handler, clock, 2, "finetune", 50.0)
    start(handler, 3, "generate")
    clock.now += 40.0
    # 60 s of a generate that began, another of 100 s, a finetune of 50 s, a moment of 2 s.
    assert handler.seconds_left() == (60.0 + 100.0 + 50.0 + 2.0) / 2
    clock.now += 100.0
    # It takes longer than its cost, which takes nothing from the others: 152 s on two cores, but
    # no less than the 100 s of the other generate.
    assert handler.seconds_left() == 100.0


def test_what_runs(handler: plugin.LogHandler, capsys: pytest.CaptureFixture[str]) -> None:
    start(handler, 1, "generate", teacher="ant", scatteritem="2-of-8")
    start(handler, 2, "finetune", student="ant.long.s1")
    assert handler.running() == "generate ant 2-of-8, finetune ant.long.s1"
    start(handler, 3, "generate", teacher="bee")
    assert handler.running() == "2 generate, 1 finetune"


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
