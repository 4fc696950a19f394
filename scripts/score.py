"""Score every candidate of one teacher with one metric."""

from heirloom import log, objectives
from heirloom.files import read_jsonl, write_jsonl

wildcards, metric = snakemake.wildcards, snakemake.params.metric
log.setup(snakemake.log[0], f"score {wildcards.teacher} {wildcards.prompts} {wildcards.metric}")
candidates = read_jsonl(snakemake.input.candidates)
texts = [record["completion"] for record in candidates]
scores = objectives.score(metric["function"], texts, metric["options"])
write_jsonl(
    snakemake.output[0],
    (
        {"prompt_id": record["prompt_id"], "sample": record["sample"], "score": score}
        for record, score in zip(candidates, scores, strict=True)
    ),
)
