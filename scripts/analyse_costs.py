"""Add up what the jobs of the study cost."""

from pathlib import Path

from heirloom.analyse import tables
from heirloom.analyse.tables.costs import costs
from heirloom.support import log

log.setup(snakemake.log[0], "costs")
table = costs(Path(snakemake.input.plan).parent, shards=snakemake.params.shards)
tables.write(table, snakemake.output[0])
