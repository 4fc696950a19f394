"""Pair the teachers' answers, for every model to judge."""

from heirloom.profiling.data.preferences import form_pairs
from heirloom.support import log
from heirloom.support.files import read_jsonl, write_jsonl

params = snakemake.params
log.setup(snakemake.log[0], "pair")
answers = {
    teacher: read_jsonl(file)
    for teacher, file in zip(params.teachers, snakemake.input.answers, strict=True)
}
answered = {record["prompt_id"] for records in answers.values() for record in records}
prompts = [p for p in read_jsonl(snakemake.input.prompts) if p["id"] in answered]
write_jsonl(snakemake.output[0], form_pairs(prompts, answers, seed=params.seed))
