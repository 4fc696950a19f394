"""Analyse the results of a study: changes, their sizes and their uncertainty."""
