"""Score every candidate with every metric. Nothing is thrown away; null means it has no score.

Scattered over shards of the same list of batches, so that their number changes no score; a profile
says how many (set-scatter).

Required inputs:
    generations/{teacher}/{prompts}/candidates.jsonl
    data/{data}.json                             of the data that the metric's scorer names
Outputs:
    scores/{teacher}/{prompts}/{metric}.jsonl    {prompt_id, sample, score}
"""


localrules:
    gather_scores,


rule score:
    input:
        candidates=PATHS.candidates("{teacher}", "{prompts}"),
        scorer=lambda w: JOBS.scorer_files(w.metric),
        data=lambda w: JOBS.scorer_data(w.metric),
        modules=modules("objectives.scoring", "objectives.data_files"),
    output:
        PATHS.scores_shard("{teacher}", "{prompts}", "{metric}", "{scatteritem}"),
    log:
        PATHS.log("score", "{teacher}", "{prompts}", "{metric}", "{scatteritem}"),
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 2000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        metric=lambda w: STUDY.metrics[w.metric].model_dump(),
    script:
        "../scripts/objectives_score.py"


rule gather_scores:
    input:
        gather.scoring(
            PATHS.scores_shard(
                "{{teacher}}", "{{prompts}}", "{{metric}}", "{scatteritem}"
            )
        ),
    output:
        PATHS.scores("{teacher}", "{prompts}", "{metric}"),
    log:
        PATHS.log("score", "{teacher}", "{prompts}", "{metric}", "gather"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "cat {input:q} > {output:q} 2> {log:q}"
