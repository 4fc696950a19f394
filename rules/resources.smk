"""What jobs ask for: from the study how large they are, from the profile what machines there are."""

import math

# Of a prompt, for estimates of memory and time: most are shorter.
PROMPT_TOKENS = 256


def stated_by_profile(resource):
    """What the profile's default-resources say of the machine; None where they do not."""
    stated = (workflow.resource_settings.default_resources or {}).get(resource)
    return stated.value if stated else None


def parameters_of(artefact):
    """How many parameters a model has: as the study says, or as its files do once they are there."""
    model, note = STUDY.models[artefact], Path(f"{RESULTS}/models/{artefact}.json")
    if model.endpoint:
        return 0  # it is not here
    if model.parameters:
        return int(model.parameters)
    counted = resources.count_parameters(locate(note)) if note.exists() else None
    return counted or resources.DEFAULT_PARAMETERS


def model_resources(need):
    """Memory, time and, where the profile has GPUs, their number, for a rule that runs a model.

    `need` gives the `resources.Need` of a job by its wildcards. A second attempt gets twice the
    memory and time of the first: nobody may have said how large the model is.
    """
    gpu = stated_by_profile("gpu_memory_mb")
    limit = stated_by_profile("runtime_limit") or math.inf

    def gpus(wildcards):
        return need(wildcards).gpus(gpu) if gpu else 0

    def memory(wildcards, attempt):
        needed = need(wildcards)
        return (needed.host_mb if gpu else needed.memory_mb) * attempt

    def minutes(wildcards, threads, attempt):
        needed = need(wildcards).minutes(threads=threads, gpus=gpus(wildcards))
        return min(needed * attempt, limit)

    return {"mem_mb": memory, "runtime": minutes} | ({"gpu": gpus} if gpu else {})


def generation_need(wildcards):
    """What one shard of a teacher's candidates takes."""
    prompts, settings = STUDY.prompts[wildcards.prompts], STUDY.generation
    return resources.inference(
        parameters_of(wildcards.teacher),
        dtype=STUDY.dtype,
        sequences=settings.batch_size,
        length=PROMPT_TOKENS + prompts.max_new_tokens,
        tokens=prompts.train * settings.k * prompts.max_new_tokens / SHARDS,
    )


def answer_need(wildcards):
    """What a teacher's answers for the judges take."""
    prompts = STUDY.prompts[judged().prompts]
    return resources.inference(
        parameters_of(wildcards.teacher),
        dtype=STUDY.dtype,
        sequences=STUDY.generation.batch_size,
        length=PROMPT_TOKENS + judged().max_new_tokens,
        tokens=2 * prompts.eval * judged().max_new_tokens,
    )


def finetuning_need(wildcards):
    """What a student's training takes."""
    student, recipe = PLAN.models[wildcards.student], STUDY.finetuning
    prompts = STUDY.prompts[PLAN.datasets[student.dataset].prompts]
    length = min(recipe.max_length, PROMPT_TOKENS + prompts.max_new_tokens)
    return resources.finetuning(
        parameters_of(student.base),
        dtype=STUDY.dtype,
        examples=min(recipe.micro_batch_size, recipe.batch_size),
        length=recipe.max_length,
        tokens=recipe.epochs * prompts.train * length,
    )


def profile_need(wildcards):
    """What every benchmark on one model takes."""
    model = PLAN.models[wildcards.model]
    longest = [
        s["options"].get("max_new_tokens", 0)
        for s in map(benchmark_settings, BENCHMARKS)
    ]
    return resources.inference(
        parameters_of(model.base or model.id),
        dtype=STUDY.dtype,
        sequences=STUDY.generation.batch_size,
        length=PROMPT_TOKENS + max(longest, default=0),
        tokens=resources.PROFILE_TOKENS,
        merged=model.base is not None,
    )


def growing(first):
    """A resource of which every further attempt gets as much again."""
    return lambda wildcards, attempt: first * attempt


def memory_for_files(wildcards, input, attempt):
    """MB for a job that holds its input files as Python objects."""
    read = sum(os.path.getsize(file) for file in input if os.path.exists(file))
    return (1000 + 8 * read // 1_000_000) * attempt
