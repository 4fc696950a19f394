"""A model as a judge: its preference between two answers, independent of their order."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from heirloom.generate import completions
from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.objectives.words import words
from heirloom.profiling import (
    DataName,
    ItemSources,
    Metric,
    Options,
    PoolName,
    PromptsName,
    Task,
    Tokens,
    benchmark,
)
from heirloom.profiling.cost import reading
from heirloom.profiling.data.preferences import Label, Pair, majority, read_pairs
from heirloom.profiling.engines import likelihood
from heirloom.profiling.engines.likelihood import Likelihood
from heirloom.profiling.engines.trees import TokenSequence
from heirloom.profiling.engines.verdicts import parse_reply
from heirloom.statistics.agreement import kappa_of
from heirloom.statistics.resampling import mean_of
from heirloom.support.files import Record
from heirloom.support.subset import draw

#: The question to a judge, in the model's own template. Short: every pair is read twice.
QUESTION = (
    "Question: {prompt}\n\nAnswer A: {a}\n\nAnswer B: {b}\n\n"
    "Which answer is better? Reply with A or B."
)
LETTERS = ("A", "B")
_PROMPTS_AT_ONCE = 8  # of two answers each, they are long


class JudgeOptions(Options):
    """Options of the judge benchmark. At least one of `data` and `pool` is required."""

    data: list[DataName] = Field(
        [],
        description="Pairs that humans judged, in the formats of PandaLM, LLMBar, MT-Bench's "
        "human judgments or HH-RLHF.",
    )
    pool: PoolName | None = Field(
        None,
        description="Pool, or single teacher, whose answers are judged: two teachers of the pool "
        "answer each prompt, or the single teacher answers it twice.",
    )
    prompts: PromptsName | None = Field(
        None,
        description="Prompt set whose eval prompts the pool answers. (Students have seen answers "
        "to its train prompts.)",
    )
    max_new_tokens: int = Field(
        48, ge=1, description="Maximum number of tokens per answer of the pool."
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Number of pairs per data set, drawn by seed in proportion to human "
        "preferences, and number of prompts that the pool answers. Default: all.",
    )
    verdict: Literal["likelihood", "generated"] = Field(
        "likelihood",
        description="`likelihood`: the more likely letter, averaged over both orders; "
        "`generated`: the letter that the model generates, and a tie if the orders disagree.",
    )
    verdict_tokens: int = Field(
        8,
        ge=1,
        description="Maximum number of tokens per generated verdict. A model that reasons before "
        "it answers needs hundreds or thousands.",
    )

    @property
    def generates(self) -> bool:
        """True if verdicts are generated."""
        return self.verdict == "generated"

    @model_validator(mode="after")
    def _something_to_judge(self) -> Self:
        if not self.data and self.pool is None:
            raise ValueError("name pairs to judge: `data`, or a `pool` with `prompts`, or both")
        if (self.pool is None) != (self.prompts is None):
            raise ValueError("`pool` and `prompts` belong together: the one answers the other")
        return self


_DECIDED = {"decided": True}

METRICS = {
    "consistency": Metric("share of pairs", "higher", ("consistent",), relative=False),
    "position_bias": Metric("share, -0.5 to 0.5", relative=False),
    "prefers_longer": Metric("share of pairs", relative=False),
    "margin": Metric("log-odds"),
    "human_agreement": Metric(
        "share of pairs",
        "higher",
        ("agrees",),
        mean_of("agrees"),
        _DECIDED,
        label="Agreement with humans",
    ),
    "human_agreement_with_ties": Metric(
        "share of pairs",
        "higher",
        ("agrees_with_ties",),
        mean_of("agrees_with_ties"),
        {"labelled": True},
        label="Agreement with humans, ties counted",
    ),
    "kappa_human": Metric(
        "kappa, -1 to 1",
        "higher",
        ("choice", "majority"),
        kappa_of("choice", "majority"),
        _DECIDED,
        relative=False,
        label="Kappa with humans",
    ),
}


def _cost(options: JudgeOptions, eval_prompts: int) -> Tokens:
    sets = len(options.data) + (options.pool is not None)
    work = reading(300, 600, sets=sets, limit=options.examples)
    if not options.generates:
        return work
    questions = 2 * sets * min(options.examples or 300, 300)
    return work + Tokens(written=questions * options.verdict_tokens)


def _items(sources: ItemSources, options: JudgeOptions) -> dict[str, Sequence[str]]:
    """The prompt of every pair."""
    pairs = [pair for name in options.data for pair in read_pairs(sources.data[name], name)]
    if sources.pairs is not None:
        pairs += read_pairs(sources.pairs, f"pool/{options.pool}")
    return {pair.id: [pair.prompt] for pair in pairs}


@benchmark(
    "judge",
    label="Judge",
    options=JudgeOptions,
    metrics=METRICS,
    main=("consistency", "human_agreement", "position_bias", "prefers_longer"),
    cost=_cost,
    items=_items,
)
def profile_judge(task: Task, options: JudgeOptions) -> list[Record]:
    """Preference between two answers, and agreement with humans about it.

    Every pair is judged in both orders. By likelihood, with d the log-odds log p(A) - log p(B) of
    the letters, the preference is the sign of the mean over the orders of the log-odds for the
    first answer, (d(first shown as A) - d(first shown as B)) / 2, in which the effect of position
    cancels (Wang et al. 2023, Large Language Models are not Fair Evaluators, arXiv
    2305.17926, balanced position calibration). By generation, an answer is preferred if
    the model generates its letter in both orders; otherwise the pair is a tie (Zheng et al. 2023,
    Judging LLM-as-a-Judge, arXiv 2306.05685, section 3.4).

    Returns:
        One record per pair, see `measure`. Null where the model gave no verdict: a pair that
        exceeds its context, or a completion that names no answer.

    Raises:
        HeirloomError: A file holds no pairs, or fewer than the examples asked for.
    """
    pairs: list[Pair] = []
    for name in options.data:
        pairs += draw(
            read_pairs(task.data[name], name),
            options.examples,
            seed=task.seed,
            id=lambda pair: pair.id,
            stratum=lambda pair: majority(pair.labels) or "",
            name=f"judge, {name}",
        )
    if task.pairs is not None:
        pairs += read_pairs(task.pairs, f"pool/{options.pool}")
    if options.verdict == "likelihood":
        return by_likelihood(task.model, pairs, work=task.work)
    return by_generation(task, pairs, max_new_tokens=options.verdict_tokens)


def by_likelihood(model: LanguageModel, pairs: Sequence[Pair], *, work: Path) -> list[Record]:
    """Judge pairs by the likelihood of the letters; one record each.

    Args:
        model: The judge.
        pairs: The pairs.
        work: Folder from which a killed call resumes.
    """
    # Both orders share the question as a prefix: one group, so that it is computed once.
    groups = [
        [tokens for question in questions(pair) for tokens in _letters(model, question)]
        for pair in pairs
    ]
    records = []
    for pair, found in zip(pairs, likelihood.score(model, groups, work=work), strict=True):
        given, swapped = _log_odds(found[:2]), _log_odds(found[2:])
        records.append(measure(pair, log_odds=(given, None if swapped is None else -swapped)))
    return records


def by_generation(task: Task, pairs: Sequence[Pair], *, max_new_tokens: int) -> list[Record]:
    """Judge pairs by what the model generates, greedily; one record each."""
    request = Request(
        samples=1,
        max_new_tokens=max_new_tokens,
        sampling=Sampling(temperature=0),
        seed=task.seed,
        batch_size=_PROMPTS_AT_ONCE,
    )
    prompts = [
        Prompt(f"{pair.id}/{order}", question)
        for pair in pairs
        for order, question in zip(("given", "swapped"), questions(pair), strict=True)
    ]
    texts = {
        record["prompt_id"]: record["completion"]
        for record in completions.generate(task.model, prompts, request, work=task.work)
    }
    return [
        measure(pair, replies=(texts[f"{pair.id}/given"], texts[f"{pair.id}/swapped"]))
        for pair in pairs
    ]


def questions(pair: Pair) -> tuple[str, str]:
    """Return the questions to the judge: with the first answer as A, and with it as B."""

    def ask(a: str, b: str) -> str:
        parts = {"prompt": pair.prompt, "a": a, "b": b}
        # One pass, and not str.format: the texts may hold braces of their own.
        return re.sub(r"\{(prompt|a|b)\}", lambda match: parts[match[1]], QUESTION)

    return ask(pair.first, pair.second), ask(pair.second, pair.first)


def _letters(model: LanguageModel, question: str) -> list[TokenSequence | None]:
    """Both letters, each where an answer begins and tokenised as training does it."""
    prompt = model.encode_prompt(question, "instruction", answer=True)
    added = [model.tokenizer(s, add_special_tokens=False).input_ids for s in LETTERS]
    return [TokenSequence((*prompt, *letter), len(prompt)) for letter in added]


def _log_odds(found: Sequence[Likelihood]) -> float | None:
    """log p(A) - log p(B)."""
    a, b = (one.total for one in found)
    return None if a is None or b is None else a - b


@dataclass(frozen=True)
class _Verdict:
    """A judge's verdict on a pair.

    Attributes:
        preference: "first", "second" or "tie"; None without a verdict.
        winners: The answer that wins in each order.
        shown_first: The probability given to the answer that is shown first, in each order; empty
            without a preference.
        margin: Absolute mean of the log-odds; None without.
    """

    preference: Label | None
    winners: tuple[Label | None, Label | None]
    shown_first: tuple[float, ...]
    margin: float | None = None


def measure(
    pair: Pair,
    *,
    log_odds: tuple[float | None, float | None] = (None, None),
    replies: tuple[str | None, str | None] | None = None,
) -> Record:
    """Measure a judge on one pair.

    Args:
        pair: The pair.
        log_odds: Natural log-odds for the pair's first answer against its second, with the first
            shown as A and as B; None where the model could not score it.
        replies: Instead of log-odds, the completions in both orders; None where there is none.

    Returns:
        id, source, n_words of both answers, log_odds, replies, and
        preference ("first", "second", "tie" or null), choice (the same, null for a tie);
        consistent, 1 if the same answer wins in both orders, else 0;
        position_bias, the probability given to what is shown first (1 or 0 for a reply), averaged
        over both orders, minus 0.5;
        prefers_longer, 1 if the choice has more words, 0 if fewer, null if as many;
        margin, the absolute mean of the log-odds;
        labels, majority ("first", "second", "tie", or null where there are no labels), labelled,
        decided (a majority for one answer); agrees, 1 if the choice is the majority's, else 0;
        agrees_with_ties, the same of the preference, a tie being equal to a tie.
    """
    verdict = _by_log_odds(log_odds) if replies is None else _by_replies(pair, replies)
    preference, winners = verdict.preference, verdict.winners
    choice = None if preference == "tie" else preference
    n_words = [len(words(pair.first)), len(words(pair.second))]
    longer = "first" if n_words[0] > n_words[1] else "second"
    return {
        "id": pair.id,
        "source": pair.source,
        "n_words": n_words,
        "log_odds": list(log_odds),
        "replies": None if replies is None else list(replies),
        "preference": preference,
        "choice": choice,
        "consistent": (
            None if preference is None else float(winners[0] == winners[1] and winners[0] != "tie")
        ),
        "position_bias": sum(verdict.shown_first) / 2 - 0.5 if verdict.shown_first else None,
        "prefers_longer": (
            None if choice is None or n_words[0] == n_words[1] else float(choice == longer)
        ),
        "margin": verdict.margin,
        **_against_humans(pair, preference),
    }


def _by_log_odds(log_odds: tuple[float | None, float | None]) -> _Verdict:
    winners = _winner(log_odds[0]), _winner(log_odds[1])
    if log_odds[0] is None or log_odds[1] is None:
        return _Verdict(None, winners, ())
    mean = (log_odds[0] + log_odds[1]) / 2
    # Shown first is the first answer in one order and the second one in the other.
    shown_first = _probability(log_odds[0]), 1 - _probability(log_odds[1])
    return _Verdict(_winner(mean), winners, shown_first, abs(mean))


def _by_replies(pair: Pair, replies: tuple[str | None, str | None]) -> _Verdict:
    shown = (pair.first, pair.second), (pair.second, pair.first)
    letters = [parse_reply(r or "", *answers) for r, answers in zip(replies, shown, strict=True)]
    winners = _named(letters[0], "first", "second"), _named(letters[1], "second", "first")
    if None in winners:
        return _Verdict(None, winners, ())
    preference: Label | None = winners[0] if winners[0] == winners[1] else "tie"
    return _Verdict(preference, winners, tuple(float(letter == "A") for letter in letters))


def _against_humans(pair: Pair, preference: Label | None) -> Record:
    """The fields of `measure` that compare a preference with the labels of humans."""
    most = majority(pair.labels)
    undecided = preference in (None, "tie") or most in (None, "tie")
    return {
        "labels": list(pair.labels),
        "majority": most,
        "labelled": most is not None,
        "decided": most in ("first", "second"),
        "agrees": None if undecided else float(preference == most),
        "agrees_with_ties": (
            None if preference is None or most is None else float(preference == most)
        ),
    }


def _winner(log_odds: float | None) -> Label | None:
    if log_odds is None:
        return None
    return "first" if log_odds > 0 else "second" if log_odds < 0 else "tie"


def _named(letter: str | None, a: Label, b: Label) -> Label | None:
    return None if letter is None else a if letter == "A" else b


def _probability(log_odds: float) -> float:
    """The logistic function, of large numbers too."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0
