"""Look for the items of benchmarks in training sets."""

from pathlib import Path

from heirloom.analyse.tables.overlap import write_overlap
from heirloom.support.job import start_job

start_job(snakemake.log[0], "overlap")
write_overlap(Path(snakemake.input.plan).parent)
