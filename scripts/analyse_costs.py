"""Add up the costs of the study's jobs."""

from pathlib import Path

from heirloom.analyse.tables.costs import write_costs
from heirloom.support.job import start_job

start_job(snakemake.log[0], "costs")
write_costs(Path(snakemake.input.plan).parent, shards=snakemake.params.shards)
