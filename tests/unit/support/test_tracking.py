"""Trackers are chosen by the machine; what they are told is read back from them."""

import os
import sqlite3
from pathlib import Path

import pytest

from heirloom.support.errors import HeirloomError
from heirloom.support.tracking import Tracking, track_values, tracking, use_tracker


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of trackers as they are, put back afterwards."""
    for name in ("HEIRLOOM_TRACKING", "WANDB_PROJECT", "WANDB_MODE", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_it_is_off_by_default() -> None:
    use_tracker(None, "toy")
    assert tracking() is None
    track_values("ant profile", {"text/length": 1.0})  # says nothing to nobody


def test_an_unknown_or_missing_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeirloomError, match="no tracker: use one of trackio, wandb, mlflow"):
        use_tracker("trackoi", "toy")
    monkeypatch.setattr("heirloom.support.tracking.TRACKERS", {"none": ("no_such_package",)})
    with pytest.raises(HeirloomError, match="not installed: pip install no_such_package"):
        use_tracker("none", "toy")
    assert tracking() is None


def test_the_choice_reaches_child_processes_through_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heirloom.support.tracking.TRACKERS", {"wandb": ("json",)})
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    use_tracker("wandb", "toy")
    assert tracking() == Tracking("wandb", "toy")
    assert os.environ["WANDB_PROJECT"] == "toy" and os.environ["WANDB_MODE"] == "offline"


def test_values_are_read_back_from_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read when trackio is imported
    pytest.importorskip("trackio")
    use_tracker("trackio", "toy")
    track_values("ant profile", {"text/length": 12.5})
    with sqlite3.connect(tmp_path / "toy.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics").fetchall()
    assert [row[:2] for row in rows] == [("ant profile", 0)]
    assert "12.5" in str(rows[0][2])
