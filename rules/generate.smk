"""Sample k candidates per prompt from each teacher.

Scattered over shards of the same list of parts, so that their number changes no completion; a
profile states the number (set-scatter). A killed job resumes after its last finished part. Parts are kept
in the cache that studies share, under a name that stands for everything that decides them: a second
study, or clone, or another number of shards, generates nothing again.

Required inputs:
    models/{teacher}.json
    prompts/{prompts}/train.jsonl
Outputs:
    generations/{teacher}/{prompts}/candidates.jsonl
        {prompt_id, sample, completion, n_tokens, finish_reason, reasoning (if any)};
        completion is null without an answer
"""


localrules:
    gather_candidates,


SIZES = JobSizes(PLAN, PATHS, shards=len(gather.shards("{scatteritem}")))


rule generate:
    input:
        model=PATHS.model_note("{teacher}"),
        prompts=PATHS.prompts("{prompts}", "train"),
        modules=JOBS.generate_modules(),
    output:
        PATHS.candidates_shard("{teacher}", "{prompts}", "{scatteritem}"),
    log:
        PATHS.log("generate", "{teacher}", "{prompts}", "{scatteritem}"),
    benchmark:
        PATHS.costs("generate", "{teacher}", "{prompts}", "{scatteritem}")
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        **model_resources(lambda w: SIZES.generate(w.teacher, w.prompts)),
    params:
        generation=STUDY.generate.model_dump(),
        max_new_tokens=lambda w: STUDY.prompts[w.prompts].max_new_tokens,
        format=lambda w: STUDY.prompts[w.prompts].format,
        template=lambda w: JOBS.template(w.teacher),
        seed=STUDY.seed,
        dtype=STUDY.dtype,
    script:
        "../scripts/generate.py"


rule gather_candidates:
    input:
        shards=gather.shards(
            PATHS.candidates_shard("{{teacher}}", "{{prompts}}", "{scatteritem}")
        ),
        prompts=PATHS.prompts("{prompts}", "train"),
    output:
        PATHS.candidates("{teacher}", "{prompts}"),
    log:
        PATHS.log("generate", "{teacher}", "{prompts}", "gather"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    script:
        "../scripts/generate_gather.py"
