"""Fetch a model and bring it into the form that every stage loads, or note its endpoint."""

from heirloom.support.job import start_job

name, params, note = snakemake.wildcards.artefact, snakemake.params, snakemake.output[0]
start_job(snakemake.log[0], f"fetch {name}")

from heirloom.fetch.settings import read_sources
from heirloom.generate.adapters import fetch_whole
from heirloom.generate.endpoint import note_endpoint
from heirloom.generate.model_checks import Checks
from heirloom.generate.settings import Endpoint

if params.endpoint:
    note_endpoint(note, name, Endpoint(**params.endpoint))
else:
    gpu = snakemake.resources.get("gpu_memory_mb", 0) > 0
    check = Checks.read(name, params.template, trust_remote_code=params.trust_remote_code, gpu=gpu)
    fetch_whole(name, read_sources(params.sources), note, snakemake.input.base, check)
