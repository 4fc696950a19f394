"""Draw every figure of the report."""

from pathlib import Path

from heirloom import figures, log

log.setup(snakemake.log[0], "figures")
figures.write_all(
    Path(snakemake.input.plan).parent,
    Path(snakemake.input.changes).parent,
    Path(snakemake.output.figure1).parent,
)
