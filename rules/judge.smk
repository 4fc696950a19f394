"""Let the teachers of one pool answer eval prompts, and pair their answers for judges.

Only for a study whose judge benchmark names a pool. Eval prompts, because students have seen an
answer to the others. The judging itself is a benchmark: see profile.smk.

Required inputs:
    models/{teacher}.json
    prompts/{prompts}/eval.jsonl
Outputs:
    judge/answers/{teacher}.jsonl   {prompt_id, sample, completion, n_tokens, finish_reason}
    judge/pairs.jsonl               {id, prompt, first, second, teachers}
"""

if judged():

    localrules:
        pair,

    rule answer:
        input:
            model=f"{RESULTS}/models/{{teacher}}.json",
            prompts=f"{RESULTS}/prompts/{judged().prompts}/eval.jsonl",
            modules=modules("generate.loop"),
        output:
            f"{RESULTS}/judge/answers/{{teacher}}.jsonl",
        log:
            f"{RESULTS}/logs/judge/{{teacher}}.log",
        benchmark:
            f"{RESULTS}/costs/judge/{{teacher}}.tsv"
        conda:
            "../envs/heirloom.yaml"
        threads: 1
        resources:
            **model_resources(answer_need),
        params:
            generation=STUDY.generation.model_dump(exclude={"k"}),
            samples=1 if len(judged_teachers()) > 1 else 2,
            examples=judged().examples,
            max_new_tokens=judged().max_new_tokens,
            format=STUDY.prompts[judged().prompts].format,
            template=lambda w: template_of(w.teacher),
            seed=STUDY.seed,
            dtype=STUDY.dtype,
            work=f"{RESULTS}/work/judge/{{teacher}}",
        script:
            "../scripts/answer.py"

    rule pair:
        input:
            answers=[
                f"{RESULTS}/judge/answers/{teacher}.jsonl"
                for teacher in judged_teachers()
            ],
            prompts=f"{RESULTS}/prompts/{judged().prompts}/eval.jsonl",
            modules=modules("profiling.data.pool_pairs"),
        output:
            f"{RESULTS}/judge/pairs.jsonl",
        log:
            f"{RESULTS}/logs/judge/pair.log",
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=500,
            runtime=5,
        params:
            teachers=judged_teachers(),
            seed=STUDY.seed,
        script:
            "../scripts/pair.py"
