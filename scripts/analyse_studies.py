"""Compare this study's changes and settings with those of others."""

from pathlib import Path

from heirloom.analyse.tables.studies import write_comparisons
from heirloom.support.job import start_job

start_job(snakemake.log[0], "studies")
roots = [Path(file).parents[1] for file in snakemake.input.changes]
write_comparisons(dict(zip(snakemake.params.studies, roots, strict=True)))
