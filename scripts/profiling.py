"""Run every benchmark of the study on one model, loaded once."""

from heirloom.support.job import start_job

name, given, params = snakemake.wildcards.model, snakemake.input, snakemake.params
start_job(snakemake.log[0], f"profile {name}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.fetch.cache import result_store
from heirloom.profiling.assignment import Assignment, Subject
from heirloom.profiling.known import Known
from heirloom.profiling.run import outputs_of, profile_model
from heirloom.support.result_store import note_reuse

settings = params.template, params.dtype, params.backend, params.weights
subject = Subject(name, given.base, given.adapter, *settings)
benchmarks = [Assignment(**benchmark) for benchmark in params.benchmarks]
files = outputs_of(benchmarks, **dict(snakemake.output.items()))
known = Known(result_store("profiles"), params.code)
options = {"data_notes": given.data, "seed": params.seed, "work": params.work, "known": known}
note_reuse(params.reused, profile_model(subject, benchmarks, files, **options))
