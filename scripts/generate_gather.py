"""Put the shards of a teacher's candidates together, in the order of the prompts."""

from heirloom.support.job import start_job

wildcards = snakemake.wildcards
start_job(snakemake.log[0], f"gather {wildcards.teacher} {wildcards.prompts}")

from heirloom.generate.candidates import gather

gather(snakemake.input.shards, snakemake.input.prompts, snakemake.output[0])
