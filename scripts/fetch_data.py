"""Fetch the data of every benchmark."""

from heirloom.support.job import start_job

start_job(snakemake.log[0], "fetch data")

from heirloom.fetch.artefacts import fetch_file
from heirloom.fetch.downloads import kept_wheels
from heirloom.fetch.settings import read_sources

with kept_wheels():
    for (name, sources), note in zip(
        snakemake.params.sources.items(), snakemake.output, strict=True
    ):
        fetch_file(name, read_sources(sources), note)
