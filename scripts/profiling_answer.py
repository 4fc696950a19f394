"""Let one teacher answer the eval prompts that judges see answers to."""

from pathlib import Path

from heirloom.support.job import start_job

name, params, output = snakemake.wildcards.teacher, snakemake.params, Path(snakemake.output[0])
start_job(snakemake.log[0], f"answer {name}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.generate.candidates import PromptFile, Teacher, answer
from heirloom.generate.settings import Generate
from heirloom.generate.templates import PromptTemplate

template, settings = PromptTemplate(**params.template), Generate(**params.generation)
teacher = Teacher(name, Path(snakemake.input.model), template, params.dtype, settings)
file = Path(snakemake.input.prompts)
prompts = PromptFile(file, params.format, params.max_new_tokens, params.seed)
answer(teacher, prompts, output, examples=params.examples, samples=params.samples)
