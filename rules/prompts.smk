"""Read a prompt file and draw disjoint train and eval prompts.

One rule for each, because training depends on the former alone: another number of eval prompts
trains no student again.

Required inputs:
    sources/{prompts}.json
Outputs:
    prompts/{prompts}/train.jsonl    {id, text}; training sets come from these
    prompts/{prompts}/eval.jsonl     models are profiled on these
    prompts/{prompts}/near_duplicates.jsonl    {id, text, like, similarity}; left out, if the set asks for it
"""


localrules:
    train_prompts,
    eval_prompts,
    near_duplicates,


rule train_prompts:
    input:
        source=PATHS.prompts_note("{prompts}"),
        modules=modules("prompts.split", "prompts.read"),
    output:
        PATHS.prompts("{prompts}", "train"),
    log:
        PATHS.log("prompts", "{prompts}", "train"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        reading=lambda w: JOBS.reading(w.prompts),
        sizes=lambda w: STUDY.prompts[w.prompts].model_dump(include={"train"}),
        seed=STUDY.seed,
    script:
        "../scripts/prompts_split.py"


use rule train_prompts as eval_prompts with:
    output:
        PATHS.prompts("{prompts}", "eval"),
    log:
        PATHS.log("prompts", "{prompts}", "eval"),
    params:
        reading=lambda w: JOBS.reading(w.prompts),
        sizes=lambda w: STUDY.prompts[w.prompts].model_dump(include={"train", "eval"}),
        seed=STUDY.seed,


rule near_duplicates:
    input:
        source=PATHS.prompts_note("{prompts}"),
        modules=modules("prompts.split", "prompts.read"),
    output:
        PATHS.near_duplicates("{prompts}"),
    log:
        PATHS.log("prompts", "{prompts}", "near_duplicates"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        reading=lambda w: JOBS.reading(w.prompts),
    script:
        "../scripts/prompts_near_duplicates.py"
