"""Build one training set."""

from pathlib import Path

from heirloom.select.training_set import TrainingSet, build_training_set, read_sources
from heirloom.support.files import write_json, write_jsonl
from heirloom.support.job import start_job

dataset, files, params = snakemake.params.dataset, snakemake.input, snakemake.params
start_job(snakemake.log[0], f"select {dataset['id']}")
paths = {key: list(map(Path, files.get(key, []))) for key in ("candidates", "scores", "kept")}
rows, card = build_training_set(
    TrainingSet.read(dataset, params.criteria, truncated=params.truncated),
    read_sources(dataset["teachers"], prompts=Path(files.prompts), **paths),
    seed=params.seed,
)
write_jsonl(snakemake.output.train, rows)
write_json(snakemake.output.card, card)
