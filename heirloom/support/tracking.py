"""Experiment trackers, which a machine's profile names: they see a study and decide nothing in it.

The choice travels in the environment, also to the processes that share a training run.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError

_CHOICE = "HEIRLOOM_TRACKING"
# Below the working directory, as other trackers write there.
_TENSORBOARD = "tensorboard"
#: Tracker to the packages of which one is needed.
TRACKERS = {
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
}


@dataclass(frozen=True)
class Tracking:
    """A tracker, and where it puts what it is told.

    Attributes:
        tracker: One of `TRACKERS`.
        project: The study: a project or an experiment of the tracker.
    """

    tracker: str
    project: str


def use_tracker(tracker: str | None, project: str) -> None:
    """Track what this process and its children do, if the machine names a tracker.

    Raises:
        HeirloomError: There is no such tracker, or its package is not installed.
    """
    if tracker is None:
        os.environ.pop(_CHOICE, None)
        return
    if tracker not in TRACKERS:
        raise HeirloomError(
            f"tracking: {tracker} in the machine's profile is no tracker: use one of "
            f"{', '.join(TRACKERS)}, or remove the line."
        )
    packages = TRACKERS[tracker]
    if not any(map(find_spec, packages)):
        raise HeirloomError(
            f"tracking: {tracker} in the machine's profile needs a package that is not installed: "
            f"pip install {packages[0]}, or remove the line."
        )
    os.environ[_CHOICE] = json.dumps(asdict(Tracking(tracker, project)))
    # The trackers' own variables, unless the user has set them.
    os.environ.setdefault("WANDB_PROJECT", project)
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", project)
    if "WANDB_API_KEY" not in os.environ:
        os.environ.setdefault("WANDB_MODE", "offline")  # it would ask for a key, and nobody answers


def tracking() -> Tracking | None:
    """Return the tracker of this process, if it has one."""
    choice = os.environ.get(_CHOICE)
    return Tracking(**json.loads(choice)) if choice else None


def track_training(trainer: Any, run: str) -> None:
    """Let a Trainer of transformers report to the tracker, by its own integration.

    Args:
        trainer: The trainer, before it trains.
        run: Name of the run: the student.
    """
    found = tracking()
    if found is None:
        return
    from transformers.integrations import get_reporting_integration_callbacks

    trainer.args.project, trainer.args.run_name = found.project, run
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(_TENSORBOARD, found.project, run))
    for callback in get_reporting_integration_callbacks([found.tracker]):
        trainer.add_callback(callback)


def track_values(run: str, values: Mapping[str, float]) -> None:
    """Log numbers of a model as a run of their own.

    Args:
        run: Name of the run.
        values: Name to number.
    """
    found = tracking()
    if found is None or not values:
        return
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # which accelerate's logger asks for
    kind = LOGGER_TYPE_TO_CLASS[found.tracker]
    match found.tracker:
        case "tensorboard":
            tracker = kind(run, str(Path(_TENSORBOARD, found.project)))
        case "mlflow":
            tracker = kind(found.project, run_name=run)
        case _:
            tracker = kind(found.project, name=run)
    tracker.start()
    tracker.log(dict(values), step=0)
    tracker.finish()
