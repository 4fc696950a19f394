"""Put the shards of a teacher's candidates together, in the order of the prompts."""

from heirloom.support import log
from heirloom.support.files import read_jsonl, write_jsonl

log.setup(snakemake.log[0], f"gather {snakemake.wildcards.teacher} {snakemake.wildcards.prompts}")
position = {p["id"]: number for number, p in enumerate(read_jsonl(snakemake.input.prompts))}
candidates = [record for shard in snakemake.input.shards for record in read_jsonl(shard)]
candidates.sort(key=lambda record: (position[record["prompt_id"]], record["sample"]))
write_jsonl(snakemake.output[0], candidates)
