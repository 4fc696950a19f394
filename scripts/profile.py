"""Run every benchmark of the study on one model, loaded once."""

import logging
from importlib.metadata import version
from pathlib import Path

from heirloom.support import log
from heirloom.support.gpus import claim_gpus

name, params = snakemake.wildcards.model, snakemake.params
log.setup(snakemake.log[0], f"profile {name}")
claim_gpus(snakemake.resources.get("gpu", 0))  # before torch is imported

from heirloom import profiling
from heirloom.fetch.notes import locate
from heirloom.generate.backends.endpoint import RemoteModel, open_model
from heirloom.generate.request import Prompt
from heirloom.generate.templates import PromptTemplate
from heirloom.objectives.scoring import bind
from heirloom.support.files import read_json, read_jsonl, sha256, write_json, write_jsonl

model = open_model(
    snakemake.input.base,
    name=name,
    prompt_template=PromptTemplate(**params.template),
    adapter=Path(snakemake.input.adapter[0]).parent if snakemake.input.adapter else None,
    dtype=params.dtype,
    backend=params.backend,
    weights=params.weights,
)
notes = {read_json(note)["name"]: note for note in snakemake.input.data}
for settings, summary, records_file in zip(
    params.benchmarks, snakemake.output.summaries, snakemake.output.records, strict=True
):
    benchmark = profiling.get(settings["name"])
    logging.getLogger(__name__).info("%s: %s", benchmark.name, benchmark.summary)
    options = benchmark.options(**settings["options"])
    inputs = [file for file in (settings["prompts"], settings["pairs"]) if file]
    task = profiling.Task(
        model=model,
        prompts=[Prompt(**record) for record in read_jsonl(settings["prompts"])]
        if settings["prompts"]
        else [],
        format=settings["format"],
        scorer=settings["scorer"] and bind(**settings["scorer"]),
        data={data: locate(notes[data]) for data in options.data_names},
        seed=params.seed,
        work=Path(params.work) / benchmark.name,
        pairs=settings["pairs"] and Path(settings["pairs"]),
    )
    lacks = isinstance(model, RemoteModel) and model.cannot(
        generates=options.generates, format=settings["format"]
    )
    records = [] if lacks else benchmark.run(task, options)
    write_jsonl(records_file, records)
    write_json(
        summary,
        {
            "schema_version": profiling.SCHEMA_VERSION,
            "benchmark": benchmark.name,
            "model": name,
            "seed": params.seed,
            "metrics": {}
            if lacks
            else profiling.summarise(records, benchmark.metrics, seed=params.seed),
            **({"not_applicable": lacks} if lacks else {}),
            "settings": {**settings["options"], "scorer": settings["scorer"]},
            "revisions": {
                "model": read_json(snakemake.input.base)["sha256"],
                "adapter": model.adapter_sha256,
                "dtype": None if isinstance(model, RemoteModel) else str(model.network.dtype),
                "generation": model.decoder_identity if options.generates else None,
                "data": {data: read_json(notes[data])["sha256"] for data in options.data_names},
            },
            "versions": {
                package: version(package)
                for package in ("torch", "transformers", "peft", *benchmark.packages)
            },
            "inputs": {file: sha256(file) for file in inputs},
        },
    )
