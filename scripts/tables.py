"""Compute every table of the report."""

from pathlib import Path

from heirloom import log, tables

log.setup(snakemake.log[0], "tables")
tables.write_all(Path(snakemake.input.plan).parent, Path(snakemake.output.changes).parent)
