"""Build one training set."""

from heirloom.select.strategies import Criteria
from heirloom.select.training_set import training_set
from heirloom.support import log
from heirloom.support.files import read_jsonl, write_json, write_jsonl

dataset, criteria = snakemake.params.dataset, snakemake.params.criteria
log.setup(snakemake.log[0], f"select {dataset['id']}")


def by_teacher(paths):
    return dict(zip(dataset["teachers"], map(read_jsonl, paths), strict=True))


def of_metric(metric):
    return [path for path in snakemake.input.scores if path.endswith(f"/{metric}.jsonl")]


criteria = Criteria.read(criteria) if criteria else None
metrics = {**criteria.metrics, **criteria.where} if criteria else {}
rows, card = training_set(
    read_jsonl(snakemake.input.prompts),
    by_teacher(snakemake.input.candidates),
    {metric: by_teacher(of_metric(metric)) for metric in metrics},
    dataset=dataset["id"],
    selection=dataset["selection"],
    pool=dataset["pool"],
    prompt_set=dataset["prompts"],
    objective=dataset["objective"],
    criteria=criteria,
    seed=snakemake.params.seed,
    k=dataset["k"],
    prompt_ids={row["prompt_id"] for path in snakemake.input.kept for row in read_jsonl(path)}
    if dataset["prompts_of"]
    else None,
)
write_jsonl(snakemake.output.train, rows)
write_json(snakemake.output.card, card)
