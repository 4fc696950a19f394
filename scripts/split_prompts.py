"""Read a prompt source and draw disjoint train and eval prompts."""

from heirloom import log
from heirloom.files import write_jsonl
from heirloom.prompts import read_prompts, split_prompts
from heirloom.sources import locate

name = snakemake.wildcards.prompts
log.setup(snakemake.log[0], f"prompts {name}")
prompts = read_prompts(locate(snakemake.input.source), **snakemake.params.columns)
train, evaluation = split_prompts(
    prompts, **snakemake.params.sizes, seed=snakemake.params.seed, name=name
)
write_jsonl(snakemake.output.train, train)
write_jsonl(snakemake.output.eval, evaluation)
