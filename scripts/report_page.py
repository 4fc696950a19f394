"""Write the report, one self-contained HTML file."""

from pathlib import Path

from heirloom.report.page import write_page
from heirloom.support.job import start_job

given, params = snakemake.input, snakemake.params
start_job(snakemake.log[0], "report")
written = [*given.comparisons, *given.costs, *given.published, *given.overlap]
apart = [Path(file).stem for file in written]
write_page(Path(given.plan).parent, apart=apart, command=params.command)
