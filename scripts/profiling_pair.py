"""Pair the answers of a pool's teachers, for every model to judge."""

from heirloom.profiling.data.pool_pairs import pair_answers
from heirloom.support import log

given, params = snakemake.input, snakemake.params
log.setup(snakemake.log[0], "pair")
answers = dict(zip(params.teachers, given.answers, strict=True))
pair_answers(given.prompts, answers, snakemake.output[0], seed=params.seed)
