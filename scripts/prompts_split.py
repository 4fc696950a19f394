"""Read a prompt source and draw its train or its eval prompts."""

from heirloom.support.job import start_job

name, params, output = snakemake.wildcards.prompts, snakemake.params, snakemake.output
start_job(snakemake.log[0], f"{snakemake.rule.replace('_', ' ')} {name}")

from heirloom.prompts.settings import Columns
from heirloom.prompts.split import write_split

columns, seed = Columns(**params.columns), params.seed
source, sizes = snakemake.input.source, params.sizes
write_split(source, output[0], columns=columns, sizes=sizes, seed=seed, name=name)
