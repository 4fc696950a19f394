"""Read a prompt file and draw disjoint train and eval prompts.

Required inputs:
    sources/{prompts}.json
Outputs:
    prompts/{prompts}/train.jsonl    {id, text}; training sets come from these
    prompts/{prompts}/eval.jsonl     models are profiled on these
"""


localrules:
    split_prompts,


rule split_prompts:
    input:
        source=PATHS.prompts_note("{prompts}"),
        modules=modules("prompts.split", "prompts.read"),
    output:
        train=PATHS.prompts("{prompts}", "train"),
        eval=PATHS.prompts("{prompts}", "eval"),
    log:
        PATHS.log("prompts", "{prompts}"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        columns=lambda w: STUDY.prompts[w.prompts].columns.model_dump(),
        sizes=lambda w: STUDY.prompts[w.prompts].model_dump(include={"train", "eval"}),
        seed=STUDY.seed,
    script:
        "../scripts/prompts_split.py"
