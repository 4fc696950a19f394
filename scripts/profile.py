"""Run one benchmark on one model."""

from functools import partial
from importlib.metadata import version
from pathlib import Path

from heirloom import log, objectives, profiling
from heirloom.files import read_json, read_jsonl, sha256, write_json, write_jsonl
from heirloom.generation import Prompt
from heirloom.models import PromptTemplate, load_model
from heirloom.sources import locate

name, params = snakemake.wildcards.model, snakemake.params
log.setup(snakemake.log[0], f"profile {name} {snakemake.wildcards.benchmark}")
benchmark = profiling.get(snakemake.wildcards.benchmark)
adapter = Path(snakemake.input.adapter[0]).parent if snakemake.input.adapter else None
scorer = params.scorer
task = profiling.Task(
    model=load_model(
        locate(snakemake.input.base),
        name=name,
        prompt_template=PromptTemplate(params.template["template"], tuple(params.template["stop"])),
        adapter=adapter,
        dtype=params.dtype,
    ),
    prompts=[Prompt(**record) for record in read_jsonl(snakemake.input.prompts)],
    format=params.format,
    scorer=scorer and partial(objectives.score, scorer["function"], options=scorer["options"]),
    seed=params.seed,
    work=Path(params.work),
)
records = benchmark.run(task, benchmark.options(**params.options))
write_jsonl(snakemake.output.records, records)
write_json(
    snakemake.output.summary,
    {
        "schema_version": profiling.SCHEMA_VERSION,
        "benchmark": benchmark.name,
        "model": name,
        "seed": params.seed,
        "metrics": profiling.summarise(records, benchmark.metrics, seed=params.seed),
        "settings": {**params.options, "scorer": scorer, "dtype": str(task.model.network.dtype)},
        "revisions": {
            "model": read_json(snakemake.input.base)["sha256"],
            "adapter": adapter and sha256(snakemake.input.adapter[0]),
        },
        "versions": {package: version(package) for package in ("torch", "transformers", "peft")},
        "inputs": {snakemake.input.prompts: sha256(snakemake.input.prompts)},
    },
)
