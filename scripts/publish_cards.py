"""Write the cards of every training set and student."""

from pathlib import Path

from heirloom.publish.cards import write_cards
from heirloom.support.job import start_job

start_job(snakemake.log[0], "cards")
write_cards(
    Path(snakemake.input.plan).parent,
    command=snakemake.params.command,
    namespace=snakemake.params.namespace,
    exports=snakemake.params.exports,
)
