"""Read a prompt source and draw disjoint train and eval prompts."""

from heirloom.fetch.notes import locate
from heirloom.prompts.read import read_prompts
from heirloom.prompts.split import split_prompts
from heirloom.support import log
from heirloom.support.files import write_jsonl

name = snakemake.wildcards.prompts
log.setup(snakemake.log[0], f"prompts {name}")
prompts = read_prompts(locate(snakemake.input.source), **snakemake.params.columns)
train, evaluation = split_prompts(
    prompts, **snakemake.params.sizes, seed=snakemake.params.seed, name=name
)
write_jsonl(snakemake.output.train, train)
write_jsonl(snakemake.output.eval, evaluation)
