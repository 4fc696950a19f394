"""Finetune a base on a training set.

A killed job resumes from its last checkpoint, kept under work/.

Required inputs:
    models/{base}.json
    datasets/{dataset}/train.jsonl
Outputs:
    students/{student}/adapter_model.safetensors, adapter_config.json    PEFT's format
    students/{student}/manifest.json                                     recipe, counts, losses
"""


rule finetune:
    input:
        base=lambda w: f"{RESULTS}/models/{PLAN.models[w.student].base}.json",
        train=lambda w: f"{RESULTS}/datasets/{PLAN.models[w.student].dataset}/train.jsonl",
        method=os.path.relpath(METHODS.source("lora")),
        modules=modules("finetune.launch"),
    output:
        weights=f"{RESULTS}/students/{{student}}/adapter_model.safetensors",
        settings=f"{RESULTS}/students/{{student}}/adapter_config.json",
        manifest=f"{RESULTS}/students/{{student}}/manifest.json",
    log:
        f"{RESULTS}/logs/finetune/{{student}}.log",
    benchmark:
        f"{RESULTS}/costs/finetune/{{student}}.tsv"
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        **model_resources(finetuning_need),
    params:
        run=lambda w: Run(
            STUDY.finetuning, PLAN.models[w.student].seed, STUDY.dtype
        ).record(),
        template=lambda w: template_of(w.student),
        format=lambda w: STUDY.prompts[
            PLAN.datasets[PLAN.models[w.student].dataset].prompts
        ].format,
        work=f"{RESULTS}/work/finetune/{{student}}",
    script:
        "../scripts/finetune.py"
