"""Analyse the results of a study: what changed, by how much, and how sure that is."""
