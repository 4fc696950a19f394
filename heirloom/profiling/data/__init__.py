"""Readers of the files in which benchmarks are published."""
