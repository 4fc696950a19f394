"""Read a prompt source and draw disjoint train and eval prompts.

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
        source=f"{RESULTS}/sources/{{prompts}}.json",
        modules=modules("prompts.read", "prompts.split"),
    output:
        train=f"{RESULTS}/prompts/{{prompts}}/train.jsonl",
        eval=f"{RESULTS}/prompts/{{prompts}}/eval.jsonl",
    log:
        f"{RESULTS}/logs/prompts/{{prompts}}.log",
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
        "../scripts/split_prompts.py"
