"""Score one shard of a teacher's candidates with one metric."""

from heirloom.support import log
from heirloom.support.files import read_jsonl, write_jsonl
from heirloom.support.gpus import claim_gpus

wildcards, metric = snakemake.wildcards, snakemake.params.metric
shard, shards = map(int, wildcards.scatteritem.split("-of-"))
log.setup(
    snakemake.log[0],
    f"score {wildcards.teacher} {wildcards.prompts} {wildcards.metric} {shard}/{shards}",
)
claim_gpus(snakemake.resources.get("gpu", 0))  # before torch is imported

from heirloom import objectives

candidates = read_jsonl(snakemake.input.candidates)
texts = [record["completion"] for record in candidates]
own, scores = objectives.score_shard(
    metric["function"], texts, metric["options"], shard=shard - 1, shards=shards
)
write_jsonl(
    snakemake.output[0],
    (
        {"prompt_id": record["prompt_id"], "sample": record["sample"], "score": score}
        for record, score in zip(candidates[own], scores, strict=True)
    ),
)
