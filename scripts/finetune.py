"""Finetune one student."""

import shutil
from pathlib import Path

from heirloom.support.job import start_job

student, params = snakemake.wildcards.student, snakemake.params
start_job(snakemake.log[0], f"finetune {student}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.fetch.notes import locate, trusts_code
from heirloom.finetune.launch import finetune
from heirloom.finetune.trainer import Recipe
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import read_json, read_jsonl, sha256, write_json

manifest = finetune(
    locate(snakemake.input.base),
    read_jsonl(snakemake.input.train),
    prompt_template=PromptTemplate(**params.template),
    format=params.format,
    recipe=Recipe(**params.recipe),
    work=Path(params.work),
    output=Path(snakemake.output.weights).parent,
    trust_remote_code=trusts_code(snakemake.input.base),
    # The machine's business, so from the profile, and no parameter of the result.
    processes=max(1, snakemake.resources.get("gpu", 1)),
    launch=Path(config) if (config := snakemake.resources.get("accelerate")) else None,
)
inputs = {
    "base": read_json(snakemake.input.base)["sha256"],
    "train": sha256(snakemake.input.train),
}
write_json(snakemake.output.manifest, {"student": student, **manifest, "inputs": inputs})
shutil.rmtree(params.work)
