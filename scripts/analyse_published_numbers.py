"""Put published numbers next to this study's changes."""

from pathlib import Path

from heirloom.analyse.tables.published_numbers import write_published_numbers
from heirloom.support.job import start_job

start_job(snakemake.log[0], "published_numbers")
write_published_numbers(Path(snakemake.input.plan).parent, snakemake.params.numbers)
