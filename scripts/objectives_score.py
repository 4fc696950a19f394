"""Score one shard of a teacher's candidates with one metric."""

from heirloom.support import log
from heirloom.support.files import read_jsonl, write_jsonl
from heirloom.support.gpus import claim_gpus

wildcards, metric = snakemake.wildcards, snakemake.params.metric
shard, shards = map(int, wildcards.scatteritem.split("-of-"))
where = f"{wildcards.teacher} {wildcards.prompts} {wildcards.metric} {shard}/{shards}"
log.setup(snakemake.log[0], f"score {where}")
claim_gpus(snakemake.resources.get("gpu", 0))  # before torch is imported

from heirloom.objectives.scoring import score_candidates

candidates = read_jsonl(snakemake.input.candidates)
rows = score_candidates(
    candidates, metric["function"], metric["options"], shard=shard, shards=shards
)
write_jsonl(snakemake.output[0], rows)
