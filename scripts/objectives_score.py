"""Score one shard of a teacher's candidates with one metric."""

from heirloom.support.files import JsonLines, write_jsonl
from heirloom.support.job import start_job

wildcards, metric, given = snakemake.wildcards, snakemake.params.metric, snakemake.input
shard, shards = map(int, wildcards.scatteritem.split("-of-"))
where = f"{wildcards.teacher} {wildcards.prompts} {wildcards.metric} {shard}/{shards}"
start_job(snakemake.log[0], f"score {where}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.fetch.cache import result_store
from heirloom.fetch.notes import by_name
from heirloom.objectives.data_files import with_paths
from heirloom.objectives.scoring import Known, score_candidates

known = Known(result_store("scores"), [*given.scorer, *given.modules])
part = {"shard": shard, "shards": shards, "known": known}
options = with_paths(metric["function"], metric["options"], by_name(given.data))
rows = score_candidates(JsonLines(given.candidates), metric["function"], options, **part)
write_jsonl(snakemake.output[0], rows)
