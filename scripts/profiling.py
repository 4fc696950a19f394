"""Run every benchmark of the study on one model, loaded once."""

from heirloom.profiling.run import Assignment, Subject, profile_model
from heirloom.support.job import start_job

name, given, params = snakemake.wildcards.model, snakemake.input, snakemake.params
start_job(snakemake.log[0], f"profile {name}", gpus=snakemake.resources.get("gpu", 0))
settings = params.template, params.dtype, params.backend, params.weights
profile_model(
    Subject(name, given.base, given.adapter, *settings),
    [Assignment(**benchmark) for benchmark in params.benchmarks],
    list(zip(snakemake.output.summaries, snakemake.output.records, strict=True)),
    data_notes=given.data,
    seed=params.seed,
    work=params.work,
)
