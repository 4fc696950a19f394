"""Read a prompt source and draw its train or its eval prompts."""

from heirloom.support.job import start_job

name, params, output = snakemake.wildcards.prompts, snakemake.params, snakemake.output
start_job(snakemake.log[0], f"{snakemake.rule.replace('_', ' ')} {name}")

from heirloom.prompts.settings import Reading
from heirloom.prompts.split import write_split

reading, seed = Reading(**params.reading), params.seed
source, sizes = snakemake.input.source, params.sizes
write_split(source, output[0], reading=reading, sizes=sizes, seed=seed, name=name)
