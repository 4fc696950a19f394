"""List the prompts of a source that nearly repeat another one."""

from heirloom.support.job import start_job

name, given, params = snakemake.wildcards.prompts, snakemake.input, snakemake.params
start_job(snakemake.log[0], f"near duplicates {name}")

from heirloom.prompts.settings import Reading
from heirloom.prompts.split import write_near_duplicates

write_near_duplicates(given.source, snakemake.output[0], reading=Reading(**params.reading))
