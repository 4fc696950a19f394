"""Let one teacher answer the eval prompts that judges see answers to."""

import shutil
from pathlib import Path

from heirloom import log
from heirloom.examples import draw
from heirloom.files import read_jsonl, write_jsonl
from heirloom.generation import Prompt, Request, generate
from heirloom.models import PromptTemplate, load_model
from heirloom.sampling import Sampling
from heirloom.sources import locate, trusts_code

teacher, params = snakemake.wildcards.teacher, snakemake.params
log.setup(snakemake.log[0], f"answer {teacher}")
settings = params.generation
prompts = draw(
    [Prompt(**record) for record in read_jsonl(snakemake.input.prompts)],
    params.examples,
    seed=params.seed,
    id=lambda prompt: prompt.id,
    stratum=lambda prompt: "",
    name="judge, eval prompts",
)
model = load_model(
    locate(snakemake.input.model),
    name=teacher,
    prompt_template=PromptTemplate(**params.template),
    dtype=params.dtype,
    backend=settings["backend"],
    weights=settings["weights"],
    trust_remote_code=trusts_code(snakemake.input.model),
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
shutil.rmtree(work)
