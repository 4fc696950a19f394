"""Compute every table of the report."""

from pathlib import Path

from heirloom.analyse import tables
from heirloom.support.job import start_job

start_job(snakemake.log[0], "tables")
tables.write_all(Path(snakemake.input.plan).parent, Path(snakemake.output.changes).parent)
