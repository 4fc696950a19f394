"""Read a prompt source and draw disjoint train and eval prompts."""

from heirloom.support.job import start_job

name, params, output = snakemake.wildcards.prompts, snakemake.params, snakemake.output
start_job(snakemake.log[0], f"prompts {name}")

from heirloom.prompts.settings import Columns
from heirloom.prompts.split import split_source

files, columns = (output.train, output.eval), Columns(**params.columns)
note, options = snakemake.input.source, {**params.sizes, "seed": params.seed, "name": name}
split_source(note, files, columns=columns, **options)
