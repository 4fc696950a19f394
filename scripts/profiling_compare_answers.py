"""Let one judge, loaded once, compare the answers of students with those of other models."""

from heirloom.support.job import start_job

name, given, params = snakemake.wildcards.judge, snakemake.input, snakemake.params
start_job(snakemake.log[0], f"compare {name}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.fetch.cache import result_store
from heirloom.profiling.assignment import Subject
from heirloom.profiling.compare_answers import Contest, KnownVerdicts, compare_answers, read_answers
from heirloom.support.result_store import note_reuse

judge = Subject(name, given.judge, (), params.template, params.dtype, *params.engine)
records = dict(zip(params.models, given.answers, strict=True))
answers = read_answers(given.prompts, records, examples=params.examples, seed=params.seed)
contests = [Contest(*pair) for pair in params.contests]
kept = {"work": params.work, "known": KnownVerdicts(result_store("verdicts"), params.code)}
note_reuse(params.reused, compare_answers(judge, contests, answers, snakemake.output[0], **kept))
