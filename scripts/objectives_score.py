"""Score one shard of a teacher's candidates with one metric."""

from heirloom.support.files import read_jsonl, write_jsonl
from heirloom.support.job import start_job

wildcards, metric = snakemake.wildcards, snakemake.params.metric
shard, shards = map(int, wildcards.scatteritem.split("-of-"))
where = f"{wildcards.teacher} {wildcards.prompts} {wildcards.metric} {shard}/{shards}"
start_job(snakemake.log[0], f"score {where}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.objectives.scoring import score_candidates

candidates = read_jsonl(snakemake.input.candidates)
rows = score_candidates(
    candidates, metric["function"], metric["options"], shard=shard, shards=shards
)
write_jsonl(snakemake.output[0], rows)
