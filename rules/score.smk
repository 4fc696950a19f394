"""Score every candidate with every metric. Nothing is thrown away; null means it has no score.

Required inputs:
    generations/{teacher}/{prompts}/candidates.jsonl
Outputs:
    scores/{teacher}/{prompts}/{metric}.jsonl    {prompt_id, sample, score}
"""


rule score:
    input:
        candidates=f"{RESULTS}/generations/{{teacher}}/{{prompts}}/candidates.jsonl",
        scorer=lambda w: scorer_files(w.metric),
    output:
        f"{RESULTS}/scores/{{teacher}}/{{prompts}}/{{metric}}.jsonl",
    log:
        f"{RESULTS}/logs/score/{{teacher}}/{{prompts}}/{{metric}}.log",
    conda:
        "../envs/heirloom.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        metric=lambda w: STUDY.metrics[w.metric].model_dump(),
    script:
        "../scripts/score.py"
