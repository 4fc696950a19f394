"""Compute every table of the report."""

from pathlib import Path

from heirloom.analyse import tables
from heirloom.support import log

log.setup(snakemake.log[0], "tables")
tables.write_all(Path(snakemake.input.plan).parent, Path(snakemake.output.changes).parent)
