"""Choose one candidate per prompt, by the strategy of the training set.

Cheap, and apart from scoring, so that trying another objective costs no model.

Required inputs:
    prompts/{prompts}/train.jsonl
    generations/{teacher}/{prompts}/candidates.jsonl    of every teacher in the pool
    scores/{teacher}/{prompts}/{metric}.jsonl           likewise, for an objective
    datasets/{steered}/train.jsonl                      for a control on the prompts of that set
Outputs:
    datasets/{dataset}/train.jsonl
        {prompt_id, prompt, completion, teacher, sample, finish_reason, score, n_candidates, ...}
    datasets/{dataset}/card.json    how it was chosen, and counts
"""


rule select:
    input:
        prompts=lambda w: f"{RESULTS}/prompts/{PLAN.datasets[w.dataset].prompts}/train.jsonl",
        candidates=pool_files("generations", "candidates.jsonl"),
        scores=branch(
            lambda w: bool(criteria_of(w.dataset)),
            then=score_files,
            otherwise=[],
        ),
        kept=branch(
            lambda w: bool(PLAN.datasets[w.dataset].prompts_of),
            then=lambda w: [
                f"{RESULTS}/datasets/{PLAN.datasets[w.dataset].prompts_of}/train.jsonl"
            ],
            otherwise=[],
        ),
        strategy=lambda w: os.path.relpath(
            STRATEGIES.source(PLAN.datasets[w.dataset].selection)
        ),
        modules=modules("select.training_set"),
    output:
        train=f"{RESULTS}/datasets/{{dataset}}/train.jsonl",
        card=f"{RESULTS}/datasets/{{dataset}}/card.json",
    log:
        f"{RESULTS}/logs/select/{{dataset}}.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        dataset=lambda w: vars(PLAN.datasets[w.dataset]),
        criteria=lambda w: criteria_of(w.dataset),
        seed=STUDY.seed,
    script:
        "../scripts/select.py"
