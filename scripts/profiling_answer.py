"""Let one teacher answer the eval prompts that judges see answers to."""

import shutil
from pathlib import Path

from heirloom.support import log
from heirloom.support.gpus import claim_gpus

teacher, params = snakemake.wildcards.teacher, snakemake.params
log.setup(snakemake.log[0], f"answer {teacher}")
claim_gpus(snakemake.resources.get("gpu", 0))  # before torch is imported

from heirloom.generate.backends.endpoint import open_model

from heirloom.generate.completions import generate
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import read_jsonl, write_jsonl
from heirloom.support.subset import draw

settings = params.generation
prompts = draw(
    [Prompt(**record) for record in read_jsonl(snakemake.input.prompts)],
    params.examples,
    seed=params.seed,
    id=lambda prompt: prompt.id,
    stratum=lambda prompt: "",
    name="judge, eval prompts",
)
model = open_model(
    snakemake.input.model,
    name=teacher,
    prompt_template=PromptTemplate(**params.template),
    dtype=params.dtype,
    backend=settings["backend"],
    weights=settings["weights"],
    writes_only=True,
)
request = Request(
    samples=params.samples,
    max_new_tokens=params.max_new_tokens,
    sampling=Sampling(settings["temperature"], settings["top_k"], settings["top_p"]),
    seed=params.seed,
    format=params.format,
    batch_size=settings["batch_size"],
)
work = Path(params.work)
write_jsonl(snakemake.output[0], generate(model, prompts, request, work=work))
shutil.rmtree(work, ignore_errors=True)  # answers of an endpoint are kept elsewhere
