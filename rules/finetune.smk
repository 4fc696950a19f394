"""Finetune a base on a training set.

A killed job resumes from its last checkpoint, kept under work/. Students are kept in the cache that
studies share, under a name that stands for everything that decides them: nothing is trained twice.

Required inputs:
    models/{base}.json
    datasets/{dataset}/train.jsonl
Outputs:
    students/{student}/adapter_model.safetensors, adapter_config.json    PEFT's format
    students/{student}/manifest.json                                     recipe, counts, losses
"""


rule finetune:
    input:
        base=lambda w: PATHS.model_note(PLAN.models[w.student].base),
        train=lambda w: PATHS.dataset(PLAN.models[w.student].dataset, "train.jsonl"),
        modules=lambda w: JOBS.finetune_modules(w.student),
    output:
        weights=PATHS.student("{student}", "adapter_model.safetensors"),
        settings=PATHS.student("{student}", "adapter_config.json"),
        manifest=PATHS.student("{student}", "manifest.json"),
    log:
        PATHS.log("finetune", "{student}"),
    benchmark:
        PATHS.costs("finetune", "{student}")
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        **model_resources(lambda w: SIZES.finetune(w.student)),
    params:
        run=lambda w: JOBS.run(w.student),
        template=lambda w: JOBS.template(w.student),
        format=lambda w: JOBS.student_format(w.student),
        work=PATHS.work("finetune", "{student}"),
        reused=PATHS.reused("finetune", "{student}"),
    script:
        "../scripts/finetune.py"
