"""Push one training set or student to the hub."""

from pathlib import Path

from heirloom.publish.hub import push
from heirloom.support.job import start_job

start_job(snakemake.log[0], f"push {snakemake.params.repository}")
push(Path(snakemake.input[0]).parent, snakemake.output[0], **dict(snakemake.params.items()))
