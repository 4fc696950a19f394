"""Profile one model, a base, a teacher, a student or any other, with every benchmark of the study.

One job per model, because loading one takes longer than some benchmarks do. A benchmark is a module
in heirloom/profiling/ that registers itself. Completions and likelihoods are kept under work/: a job
that was killed resumes there, and editing a metric, or adding a benchmark, measures again without
generating or scoring anything twice. The profiles themselves are kept in the cache that studies
share, per benchmark, under a name that stands for everything that decides them.

Where judges are shown completions of the study's own teachers, these answer eval prompts first:
students were trained on completions to the others.

Judges of the study, if it names some, compare the answers of students in the text profile with those
of their controls and bases: one job per judge.

Required inputs:
    models/{artefact}.json                            the model, or a student's base
    students/{student}/adapter_model.safetensors      for a student
    prompts/{prompts}/eval.jsonl                      of the sets that benchmarks name
    data/{data}.json                                  of the data that benchmarks name
Outputs:
    judge/answers/{teacher}.jsonl                 {prompt_id, sample, completion, n_tokens, finish_reason, reasoning (if any)}
    judge/pairs.jsonl                             {id, prompt, first, second, teachers}
    profiles/{model}/{benchmark}.json             every metric: value, interval, n, n_missing
    profiles/{model}/{benchmark}.records.jsonl    one record per example
    profiles/{model}/general.lm_eval.json         results as lm-evaluation-harness writes them
    compared_answers/{judge}.jsonl                {model, other, id, verdict, preference, log_odds, ...}
"""

if STUDY.judge:

    localrules:
        pair,

    rule answer:
        input:
            model=PATHS.model_note("{teacher}"),
            prompts=PATHS.prompts(STUDY.judge.prompts, "eval"),
            modules=JOBS.generate_modules(),
        output:
            PATHS.judge_answers("{teacher}"),
        log:
            PATHS.log("judge", "{teacher}"),
        benchmark:
            PATHS.costs("judge", "{teacher}")
        conda:
            "../envs/heirloom.yaml"
        threads: 1
        resources:
            **model_resources(
                lambda w: SIZES.answer(
                    w.teacher, STUDY.judge.prompts, STUDY.judge.max_new_tokens
                )
            ),
        params:
            generation=STUDY.generate.model_dump(exclude={"k"}),
            samples=1 if len(STUDY.judged_teachers) > 1 else 2,
            examples=STUDY.judge.examples,
            max_new_tokens=STUDY.judge.max_new_tokens,
            format=STUDY.prompts[STUDY.judge.prompts].format,
            template=lambda w: JOBS.template(w.teacher),
            seed=STUDY.seed,
            dtype=STUDY.dtype,
        script:
            "../scripts/profiling_answer.py"

    rule pair:
        input:
            answers=[PATHS.judge_answers(teacher) for teacher in STUDY.judged_teachers],
            prompts=PATHS.prompts(STUDY.judge.prompts, "eval"),
            modules=modules("profiling.data.pool_pairs"),
        output:
            PATHS.judge_pairs(),
        log:
            PATHS.log("judge", "pair"),
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=500,
            runtime=5,
        params:
            teachers=STUDY.judged_teachers,
            seed=STUDY.seed,
        script:
            "../scripts/profiling_pair.py"


rule profile:
    input:
        base=lambda w: PATHS.model_note(PLAN.models[w.model].artefact),
        adapter=branch(
            lambda w: w.model in PLAN.students,
            then=[
                PATHS.student("{model}", "adapter_model.safetensors"),
                PATHS.student("{model}", "adapter_config.json"),
            ],
            otherwise=[],
        ),
        prompts=JOBS.benchmark_files("prompts"),
        pairs=JOBS.benchmark_files("pairs"),
        data=JOBS.benchmark_data(),
        modules=JOBS.benchmark_modules(),
    output:
        summaries=[PATHS.profile("{model}", b) for b in PLAN.benchmarks],
        records=[PATHS.records("{model}", b) for b in PLAN.benchmarks],
        further=[
            PATHS.profile_file("{model}", *named) for named in JOBS.benchmark_outputs()
        ],
    log:
        PATHS.log("profile", "{model}"),
    benchmark:
        PATHS.costs("profile", "{model}")
    # Before other jobs that could run: a long one that is left for the end runs alone.
    priority: 1
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        **model_resources(lambda w: SIZES.profile(w.model)),
    params:
        benchmarks=JOBS.benchmarks(),
        template=lambda w: JOBS.template(w.model),
        seed=STUDY.seed,
        dtype=STUDY.dtype,
        backend=STUDY.generate.backend,
        weights=STUDY.generate.weights,
        work=PATHS.work("profile", "{model}"),
        code=JOBS.benchmark_code(),
        reused=PATHS.reused("profile", "{model}"),
    script:
        "../scripts/profiling.py"


rule profiles:
    """Every profile of the study, without the report."""
    input:
        expand(rules.profile.output.summaries, model=PLAN.models),


if STUDY.compare_answers:

    rule compare_answers:
        input:
            judge=PATHS.model_note("{judge}"),
            answers=[PATHS.records(model, "text") for model in JOBS.compared()[1]],
            prompts=PATHS.prompts(STUDY.benchmarks["text"].prompts, "eval"),
            modules=modules("profiling.compare_answers"),
        output:
            PATHS.compared_answers("{judge}"),
        log:
            PATHS.log("compare", "{judge}"),
        benchmark:
            PATHS.costs("compare", "{judge}")
        wildcard_constraints:
            judge=any_of(STUDY.judges),
        conda:
            "../envs/heirloom.yaml"
        threads: 1
        resources:
            **model_resources(lambda w: SIZES.compare(w.judge)),
        params:
            models=JOBS.compared()[1],
            contests=JOBS.compared()[0],
            examples=STUDY.compare_answers.examples,
            template=lambda w: JOBS.template(w.judge),
            seed=STUDY.seed,
            dtype=STUDY.dtype,
            engine=[STUDY.generate.backend, STUDY.generate.weights],
            work=PATHS.work("compare", "{judge}"),
            code=modules("profiling.compare_answers"),
            reused=PATHS.reused("compare", "{judge}"),
        script:
            "../scripts/profiling_compare_answers.py"
