"""Select one candidate per prompt, by the strategy of the training set.

Cheap, and apart from scoring, so that trying another objective costs no model.

Required inputs:
    prompts/{prompts}/train.jsonl
    generations/{teacher}/{prompts}/candidates.jsonl    of every teacher in the pool
    scores/{teacher}/{prompts}/{metric}.jsonl           likewise, for a set with an objective
    datasets/{selected}/train.jsonl                     for a control on the prompts of that set
Outputs:
    datasets/{dataset}/train.jsonl
        {prompt_id, prompt, completion, teacher, sample, finish_reason, score, n_candidates, ...}
    datasets/{dataset}/card.json    how it was selected, and counts
"""


rule select:
    input:
        prompts=lambda w: PATHS.prompts(PLAN.datasets[w.dataset].prompts, "train"),
        candidates=lambda w: JOBS.pool_candidates(w.dataset),
        scores=lambda w: JOBS.pool_scores(w.dataset),
        kept=lambda w: JOBS.kept_prompts(w.dataset),
        modules=lambda w: JOBS.select_modules(w.dataset),
    output:
        train=PATHS.dataset("{dataset}", "train.jsonl"),
        card=PATHS.dataset("{dataset}", "card.json"),
    log:
        PATHS.log("select", "{dataset}"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        dataset=lambda w: vars(PLAN.datasets[w.dataset]),
        criteria=lambda w: JOBS.criteria(w.dataset),
        truncated=lambda w: JOBS.admits_truncated(w.dataset),
        seed=STUDY.seed,
    script:
        "../scripts/select.py"
