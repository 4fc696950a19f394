"""Draw every figure of the report."""

from pathlib import Path

from heirloom.report.figures import write_figures
from heirloom.support.job import start_job

start_job(snakemake.log[0], "figures")
write_figures(Path(snakemake.input.plan).parent)
