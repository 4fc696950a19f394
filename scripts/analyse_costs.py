"""Add up what the jobs of the study cost."""

from pathlib import Path

from heirloom.analyse import tables
from heirloom.analyse.tables.costs import costs
from heirloom.support.job import start_job

start_job(snakemake.log[0], "costs")
table = costs(Path(snakemake.input.plan).parent, shards=snakemake.params.shards)
tables.write(table, snakemake.output[0])
