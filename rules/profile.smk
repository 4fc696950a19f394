"""Run one benchmark on one model: a base, a teacher or a student.

A benchmark is a module in heirloom/profiling/ that registers itself; this rule runs any of them.
What a model wrote is kept under work/, so that editing a metric measures again without generating.

Required inputs:
    models/{artefact}.json                            the model, or a student's base
    students/{student}/adapter_model.safetensors      for a student
    prompts/{prompts}/eval.jsonl                      of the set that the benchmark names
Outputs:
    profiles/{model}/{benchmark}.json             every metric: value, interval, n, n_missing
    profiles/{model}/{benchmark}.records.jsonl    a record an example
"""


rule profile:
    input:
        base=lambda w: f"{RESULTS}/models/{PLAN.models[w.model].base or w.model}.json",
        adapter=branch(
            lambda w: w.model in PLAN.students,
            then=[
                f"{RESULTS}/students/{{model}}/adapter_model.safetensors",
                f"{RESULTS}/students/{{model}}/adapter_config.json",
            ],
            otherwise=[],
        ),
        prompts=lambda w: f"{RESULTS}/prompts/{benchmark_options(w.benchmark)['prompts']}/eval.jsonl",
        modules=benchmark_modules,
    output:
        summary=f"{RESULTS}/profiles/{{model}}/{{benchmark}}.json",
        records=f"{RESULTS}/profiles/{{model}}/{{benchmark}}.records.jsonl",
    log:
        f"{RESULTS}/logs/profile/{{model}}/{{benchmark}}.log",
    benchmark:
        f"{RESULTS}/costs/profile/{{model}}/{{benchmark}}.tsv"
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=120,
    params:
        options=lambda w: benchmark_options(w.benchmark),
        scorer=lambda w: scorer_of(w.benchmark),
        format=lambda w: STUDY.prompts[benchmark_options(w.benchmark)["prompts"]].format,
        template=lambda w: template_of(w.model),
        seed=STUDY.seed,
        dtype=STUDY.dtype,
        work=f"{RESULTS}/work/profile/{{model}}/{{benchmark}}",
    script:
        "../scripts/profile.py"


rule profiles:
    """Every profile of the study, without the report."""
    input:
        expand(rules.profile.output.summary, model=PLAN.models, benchmark=BENCHMARKS),
