"""Build one training set."""

from heirloom import log
from heirloom.files import read_jsonl, write_json, write_jsonl
from heirloom.selection import training_set

dataset, objective = snakemake.params.dataset, snakemake.params.objective
log.setup(snakemake.log[0], f"select {dataset['id']}")


def by_teacher(paths):
    return dict(zip(dataset["teachers"], map(read_jsonl, paths), strict=True))


rows, card = training_set(
    read_jsonl(snakemake.input.prompts),
    by_teacher(snakemake.input.candidates),
    by_teacher(snakemake.input.scores) if objective else None,
    dataset=dataset["id"],
    selection=dataset["selection"],
    pool=dataset["pool"],
    prompt_set=dataset["prompts"],
    objective=dataset["objective"],
    metric=objective.get("metric"),
    direction=objective.get("direction"),
    seed=snakemake.params.seed,
)
write_jsonl(snakemake.output.train, rows)
write_json(snakemake.output.card, card)
