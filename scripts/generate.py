"""Sample one shard of a teacher's candidates."""

from heirloom.support import log
from heirloom.support.gpus import claim_gpus

wildcards, params = snakemake.wildcards, snakemake.params
shard, shards = map(int, wildcards.scatteritem.split("-of-"))
log.setup(snakemake.log[0], f"generate {wildcards.teacher} {wildcards.prompts} {shard}/{shards}")
claim_gpus(snakemake.resources.get("gpu", 0))  # before torch is imported

from heirloom.generate.backends.endpoint import open_model

from heirloom.fetch.cache import cache_root
from heirloom.generate.completions import generate
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import read_json, read_jsonl, sha256, write_jsonl
from heirloom.support.work_folder import fingerprint

settings = params.generation
model = open_model(
    snakemake.input.model,
    name=wildcards.teacher,
    prompt_template=PromptTemplate(**params.template),
    dtype=params.dtype,
    backend=settings["backend"],
    weights=settings["weights"],
    writes_only=True,
)
request = Request(
    samples=settings["k"],
    max_new_tokens=params.max_new_tokens,
    sampling=Sampling(settings["temperature"], settings["top_k"], settings["top_p"]),
    seed=params.seed,
    format=params.format,
    batch_size=settings["batch_size"],
)
prompts = [Prompt(**record) for record in read_jsonl(snakemake.input.prompts)]
deciding = [
    read_json(snakemake.input.model)["sha256"],
    sha256(snakemake.input.prompts),
    model.decoder_identity,
]
work = cache_root() / "generations" / fingerprint([*deciding, dict(params.items())])
candidates = generate(model, prompts, request, work=work, shard=shard - 1, shards=shards)
write_jsonl(snakemake.output[0], candidates)
