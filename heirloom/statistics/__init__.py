"""Estimates, paired comparisons and agreement, each with its uncertainty."""
