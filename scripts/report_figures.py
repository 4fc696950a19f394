"""Draw every figure of the report."""

from pathlib import Path

from heirloom.report import figures
from heirloom.support.job import start_job

start_job(snakemake.log[0], "figures")
figures.write_all(
    Path(snakemake.input.plan).parent,
    Path(snakemake.input.tables[0]).parent,
    Path(snakemake.output[0]).parent,
)
