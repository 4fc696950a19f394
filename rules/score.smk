"""Score every candidate with every metric. Nothing is thrown away; null means it has no score.

Scattered over shards that consist of whole batches of candidates, so that their number changes no score; a
profile sets it (set-scatter).

Required inputs:
    generations/{teacher}/{prompts}/candidates.jsonl
Outputs:
    scores/{teacher}/{prompts}/{metric}.jsonl    {prompt_id, sample, score}
"""


localrules:
    gather_scores,


rule score:
    input:
        candidates=f"{RESULTS}/generations/{{teacher}}/{{prompts}}/candidates.jsonl",
        scorer=lambda w: scorer_files(w.metric),
        modules=modules("objectives.scoring"),
    output:
        f"{RESULTS}/scores/{{teacher}}/{{prompts}}/shards/{{metric}}/{{scatteritem}}.jsonl",
    log:
        f"{RESULTS}/logs/score/{{teacher}}/{{prompts}}/{{metric}}/{{scatteritem}}.log",
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        metric=lambda w: STUDY.metrics[w.metric].model_dump(),
    script:
        "../scripts/score.py"


rule gather_scores:
    input:
        gather.scoring(
            f"{RESULTS}/scores/{{{{teacher}}}}/{{{{prompts}}}}/shards/{{{{metric}}}}/{{scatteritem}}.jsonl"
        ),
    output:
        f"{RESULTS}/scores/{{teacher}}/{{prompts}}/{{metric}}.jsonl",
    log:
        f"{RESULTS}/logs/score/{{teacher}}/{{prompts}}/{{metric}}/gather.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "cat {input:q} > {output:q} 2> {log:q}"
