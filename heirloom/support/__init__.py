"""Foundations of every stage: files, errors, logs, processes and work folders."""
