"""Compute every table of the report."""

from pathlib import Path

from heirloom.analyse.tables import write_tables
from heirloom.support.job import start_job

start_job(snakemake.log[0], "tables")
write_tables(Path(snakemake.input.plan).parent)
