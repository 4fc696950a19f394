"""Describe the finished study as an RO-Crate."""

from pathlib import Path

from heirloom.publish.crate import write_crate
from heirloom.support.job import start_job

start_job(snakemake.log[0], "crate")
write_crate(
    Path(snakemake.output.metadata).parent,
    snakemake.input.outputs,
    {kind: getattr(snakemake.input, kind) for kind in ("models", "prompts", "data")},
    command=snakemake.params.command,
    agent=snakemake.params.agent,
)
