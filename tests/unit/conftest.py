"""Fixtures that the unit tests of several packages share."""

from toy_study import own_study_folder, study_folder, wide_study_folder

__all__ = ["own_study_folder", "study_folder", "wide_study_folder"]
