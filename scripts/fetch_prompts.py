"""Fetch a file of prompts."""

from heirloom.support.job import start_job

name = snakemake.wildcards.prompts
start_job(snakemake.log[0], f"fetch {name}")

from heirloom.fetch.artefacts import fetch_file
from heirloom.fetch.settings import read_sources

fetch_file(name, read_sources(snakemake.params.sources), snakemake.output[0])
