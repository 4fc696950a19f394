"""Fixtures that the unit tests of several packages share."""

from toy_judges import judged_study_folder
from toy_study import (
    own_study_folder,
    own_wide_study_folder,
    study_folder,
    wide_study_folder,
)

__all__ = [
    "judged_study_folder",
    "own_study_folder",
    "own_wide_study_folder",
    "study_folder",
    "wide_study_folder",
]
