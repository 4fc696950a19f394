"""Sample k candidates a prompt from each teacher.

Scattered over shards of the same list of parts, so their number changes no text; a profile says how
many (set-scatter). A killed job goes on from its last finished part. Those are kept in the cache that
studies share, under a name that stands for everything that decides them: a second study, or clone, or
another number of shards, generates nothing again.

Required inputs:
    models/{teacher}.json
    prompts/{prompts}/train.jsonl
Outputs:
    generations/{teacher}/{prompts}/candidates.jsonl
        {prompt_id, sample, completion, n_tokens, finish_reason}
"""


localrules:
    gather_candidates,


rule generate:
    input:
        model=f"{RESULTS}/models/{{teacher}}.json",
        prompts=f"{RESULTS}/prompts/{{prompts}}/train.jsonl",
        modules=modules("generate.loop"),
    output:
        f"{RESULTS}/generations/{{teacher}}/{{prompts}}/shards/{{scatteritem}}.jsonl",
    log:
        f"{RESULTS}/logs/generate/{{teacher}}/{{prompts}}/{{scatteritem}}.log",
    benchmark:
        f"{RESULTS}/costs/generate/{{teacher}}/{{prompts}}/{{scatteritem}}.tsv"
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        **model_resources(generation_need),
    params:
        generation=STUDY.generation.model_dump(),
        max_new_tokens=lambda w: STUDY.prompts[w.prompts].max_new_tokens,
        format=lambda w: STUDY.prompts[w.prompts].format,
        template=lambda w: template_of(w.teacher),
        seed=STUDY.seed,
        dtype=STUDY.dtype,
    script:
        "../scripts/generate.py"


rule gather_candidates:
    input:
        shards=gather.shards(
            f"{RESULTS}/generations/{{{{teacher}}}}/{{{{prompts}}}}/shards/{{scatteritem}}.jsonl"
        ),
        prompts=f"{RESULTS}/prompts/{{prompts}}/train.jsonl",
    output:
        f"{RESULTS}/generations/{{teacher}}/{{prompts}}/candidates.jsonl",
    log:
        f"{RESULTS}/logs/generate/{{teacher}}/{{prompts}}/gather.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    script:
        "../scripts/gather_candidates.py"
