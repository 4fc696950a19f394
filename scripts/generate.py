"""Sample one shard of a teacher's candidates."""

from pathlib import Path

from heirloom.support.job import start_job

wildcards, params, shard = snakemake.wildcards, snakemake.params, snakemake.wildcards.scatteritem
label = f"generate {wildcards.teacher} {wildcards.prompts} {shard.replace('-of-', '/')}"
start_job(snakemake.log[0], label, gpus=snakemake.resources.get("gpu", 0))

from heirloom.generate.candidates import PromptFile, Teacher, generate_shard
from heirloom.generate.settings import Generate
from heirloom.generate.templates import PromptTemplate
from heirloom.support.result_store import note_reuse

template, settings = PromptTemplate(**params.template), Generate(**params.generation)
teacher = Teacher(wildcards.teacher, Path(snakemake.input.model), template, params.dtype, settings)
file = Path(snakemake.input.prompts)
prompts = PromptFile(file, params.format, params.max_new_tokens, params.seed)
note_reuse(params.reused, generate_shard(teacher, prompts, Path(snakemake.output[0]), shard=shard))
