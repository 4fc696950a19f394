"""Write the report, one self-contained HTML file."""

from pathlib import Path

from heirloom.report import page as report
from heirloom.support.job import start_job

start_job(snakemake.log[0], "report")
report.write(
    Path(snakemake.input.plan).parent,
    Path(snakemake.input.tables[0]).parent,
    Path(snakemake.input.plan).parent / "figures",
    Path(snakemake.input.captions[0]).parent,
    snakemake.output[0],
    more_tables=[Path(file).stem for file in snakemake.input.comparisons + snakemake.input.costs],
    command=snakemake.params.command,
)
