"""Pair the answers of a pool's teachers, for every model to judge."""

from heirloom.profiling.data.pool_pairs import pair_answers
from heirloom.support.job import start_job

given, params = snakemake.input, snakemake.params
start_job(snakemake.log[0], "pair")
answers = dict(zip(params.teachers, given.answers, strict=True))
pair_answers(given.prompts, answers, snakemake.output[0], seed=params.seed)
