"""Progress of a job, and the time left."""

import logging

import pytest

from heirloom.support import log
from heirloom.support.log import Progress, duration


class Clock:
    """Time that passes when the test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    clock = Clock()
    monkeypatch.setattr(log, "time", clock)
    caplog.set_level(logging.INFO)
    return clock


def test_nothing_is_estimated_before_something_is_done(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(1600, "completions", longest=128)
    clock.now += 12
    progress.update(0, tokens=960)
    assert caplog.messages == ["0 of 1600 completions"]


def test_tokens_are_counted_and_not_completions(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(1600, "completions", longest=128)
    clock.now += 10
    progress.update(4, tokens=4000)
    # Four done of 1600 completions would make 3990 s. Of the 80 that grow most are nearly done: at
    # most 128 tokens each are 204,800, of which 4,000 took 10 s: 502 s, in words 8 min.
    clock.now += 90
    progress.update(796, tokens=36000)
    # Half of them took 100 s and 40,000 tokens, 50 each: as much again.
    assert caplog.messages == [
        "4 of 1600 completions, about 8 min left",
        "800 of 1600 completions, about 2 min left",
    ]
    assert progress.seconds_left() == pytest.approx(100.0)


def test_what_was_there_before_says_nothing_about_speed(clock: Clock) -> None:
    progress = Progress(100, "steps")
    progress.skip(80)
    clock.now += 500  # a model is loaded
    progress.begin()
    assert progress.seconds_left() is None
    clock.now += 10
    progress.update(5)
    assert progress.seconds_left() == pytest.approx(30.0)  # 15 steps of 2 s


def test_the_end_is_told_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(2, "texts")
    progress.update(1)
    progress.update(1)
    assert caplog.messages == ["2 of 2 texts"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "7 s"), (150, "2 min"), (3 * 3600, "3 h"), (99.4, "99 s")]
)
def test_a_duration_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
