"""Profile one model, a base, a teacher, a student or any other, with every benchmark of the study.

One job a model, because loading one takes longer than some benchmarks do. A benchmark is a module
in heirloom/profiling/ that registers itself. What a model wrote and the likelihoods it gave are kept
under work/: a job that was killed goes on from there, and editing a metric, or adding a benchmark,
measures again without generating or scoring anything twice.

Required inputs:
    models/{artefact}.json                            the model, or a student's base
    students/{student}/adapter_model.safetensors      for a student
    prompts/{prompts}/eval.jsonl                      of the sets that benchmarks name
    judge/pairs.jsonl                                 if the judge names a pool
    data/{data}.json                                  of the data that benchmarks name
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
        prompts=benchmark_prompts(),
        pairs=benchmark_pairs(),
        data=[f"{RESULTS}/data/{name}.json" for name in benchmark_data()],
        modules=benchmark_modules(),
    output:
        summaries=[f"{RESULTS}/profiles/{{model}}/{b}.json" for b in BENCHMARKS],
        records=[f"{RESULTS}/profiles/{{model}}/{b}.records.jsonl" for b in BENCHMARKS],
    log:
        f"{RESULTS}/logs/profile/{{model}}.log",
    benchmark:
        f"{RESULTS}/costs/profile/{{model}}.tsv"
    # Before other jobs that could run: a long one that is left for the end runs alone.
    priority: 1
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        **model_resources(profile_need),
    params:
        benchmarks=[benchmark_settings(name) for name in BENCHMARKS],
        template=lambda w: template_of(w.model),
        seed=STUDY.seed,
        dtype=STUDY.dtype,
        backend=STUDY.generation.backend,
        weights=STUDY.generation.weights,
        work=f"{RESULTS}/work/profile/{{model}}",
    script:
        "../scripts/profile.py"


rule profiles:
    """Every profile of the study, without the report."""
    input:
        expand(rules.profile.output.summaries, model=PLAN.models),
