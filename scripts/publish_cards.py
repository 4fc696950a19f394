"""Write the cards of every training set and student."""

from pathlib import Path

from heirloom.publish import cards
from heirloom.support.job import start_job

start_job(snakemake.log[0], "cards")
cards.write_all(
    Path(snakemake.input.plan).parent,
    Path(snakemake.input.tables[0]).parent,
    command=snakemake.params.command,
    namespace=snakemake.params.namespace,
)
