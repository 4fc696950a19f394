"""Compare the answers of two models to the same prompts, as a judge sees them.

The judge is asked as in the judge benchmark, about every pair of answers in both orders. Verdicts
are kept by the texts that were judged: another student adds comparisons and repeats none.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heirloom.profiling.assignment import Subject, open_subject
from heirloom.profiling.data.preferences import Pair
from heirloom.profiling.judge import by_likelihood
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, read_jsonl, write_jsonl
from heirloom.support.log import Progress
from heirloom.support.machine import computed_in
from heirloom.support.result_store import ResultStore, digests, versions
from heirloom.support.subset import draw
from heirloom.support.work_folder import fingerprint

logger = logging.getLogger(__name__)

_VERDICTS = "verdicts.jsonl"
#: Preference for the first or second answer, as the first model's.
_OUTCOMES = {"first": "win", "second": "loss", "tie": "tie", None: None}


@dataclass(frozen=True)
class Contest:
    """Two models whose answers are compared."""

    model: str
    other: str


@dataclass(frozen=True)
class Answers:
    """Answers to the same prompts.

    Attributes:
        prompts: Prompt id to text, of the prompts whose answers are compared.
        given: Model to prompt id to its answer; None where it gave none.
    """

    prompts: Mapping[str, str]
    given: Mapping[str, Mapping[str, str | None]]

    def pair(self, contest: Contest, prompt: str) -> Pair | None:
        """Return the answers of both models to a prompt; None if one of them gave none."""
        first, second = (self.given[m].get(prompt) for m in (contest.model, contest.other))
        if first is None or second is None:
            return None
        return Pair(prompt, "answers", self.prompts[prompt], first.strip(), second.strip())


def read_answers(
    prompts: str | Path,
    records: Mapping[str, str | Path],
    *,
    examples: int | None,
    seed: int,
) -> Answers:
    """Read answers from text profiles.

    Args:
        prompts: File of the eval prompts.
        records: Model to the records of its text profile; of several answers, the first is taken.
        examples: Number of prompts to draw; None: all.
        seed: Seed of the draw.

    Raises:
        HeirloomError: A file is missing, or there are fewer prompts than are to be drawn.
    """
    drawn = draw(
        read_jsonl(prompts),
        examples,
        seed=seed,
        id=lambda prompt: str(prompt["id"]),
        stratum=lambda prompt: "",
        name="compare_answers, eval prompts",
    )
    given = {
        model: {record["id"]: record["completion"] for record in read_jsonl(file)}
        for model, file in records.items()
    }
    return Answers({prompt["id"]: prompt["text"] for prompt in drawn}, given)


@dataclass(frozen=True)
class KnownVerdicts:
    """Verdicts of earlier jobs.

    Attributes:
        store: Where they are kept.
        code: Files that define them.
    """

    store: ResultStore
    code: Sequence[str | Path]

    def identity(self, judge: Subject, pairs: Sequence[Pair]) -> Record:
        """Return everything that determines a judge's verdicts on these pairs, as JSON."""
        note = read_json(judge.note)
        return {
            "model": [note["sha256"], bool(note.get("trust_remote_code"))],
            "template": dict(judge.template),
            "pairs": fingerprint([[pair.prompt, pair.first, pair.second] for pair in pairs]),
            "code": digests(self.code),
            "versions": versions(),
            "machine": computed_in(judge.dtype),
        }


def compare_answers(
    judge: Subject,
    contests: Sequence[Contest],
    answers: Answers,
    output: str | Path,
    *,
    work: str | Path,
    known: KnownVerdicts,
) -> list[str]:
    """Let a judge, loaded once if at all, compare the answers of models two by two.

    Writes one record per contest and prompt: model, other, id (the prompt's) and

    - equal: true if both answers are the same text, which is a tie without asking the judge;
    - verdict: "win" or "loss" of the model where the judge picks the same answer in both orders,
      "tie" where it does not (Zheng et al. 2023, Judging LLM-as-a-Judge, arXiv 2306.05685, section
      3.4);
    - preference: "win", "loss" or "tie" by the mean over both orders, in which the effect of
      position cancels (see `heirloom.profiling.judge.profile_judge`);
    - log_odds, consistent, position_bias, n_words: see `heirloom.profiling.judge.measure`.

    All are null where a model gave no answer or the pair exceeds the judge's context.

    Args:
        judge: The model that judges.
        contests: The models to compare.
        answers: Their answers.
        output: File of the records.
        work: Folder in which a killed job resumes.
        known: Verdicts of earlier jobs.

    Returns:
        The contests whose verdicts were known, as "MODEL against OTHER".

    Raises:
        HeirloomError: The judge cannot be loaded, or is behind an endpoint.
    """
    if "endpoint" in read_json(judge.note):
        raise HeirloomError(
            f"compare_answers.judges: {judge.name} is behind an endpoint, where no likelihoods are "
            "to be had. Name a model with sources."
        )
    asked = _Judge(judge, Path(work), known)
    records: list[Record] = []
    reused = []
    progress = Progress(total=len(contests), unit="comparisons of two models")
    for contest in contests:
        pairs = {prompt: answers.pair(contest, prompt) for prompt in answers.prompts}
        unequal = [pair for pair in pairs.values() if pair and pair.first != pair.second]
        judged = asked.known_verdicts(unequal)
        if judged is None:
            judged = asked.judge(contest, unequal)
        elif unequal:
            reused.append(f"{contest.model} against {contest.other}")
        progress.update(1)
        records += _records(contest, pairs, judged)
    write_jsonl(output, records)
    return reused


@dataclass
class _Judge:
    """A judge, loaded when it is first needed.

    Attributes:
        subject: The model.
        work: Folder in which a killed job resumes.
        known: Verdicts of earlier jobs.
    """

    subject: Subject
    work: Path
    known: KnownVerdicts
    _model: Any = None

    def known_verdicts(self, pairs: Sequence[Pair]) -> list[Record] | None:
        """Return the verdicts on pairs that were judged before; None if they were not."""
        if not pairs:
            return []
        found = self.known.store.find(self.known.identity(self.subject, pairs))
        return read_jsonl(found[_VERDICTS]) if found else None

    def judge(self, contest: Contest, pairs: Sequence[Pair]) -> list[Record]:
        """Judge the pairs of a contest, and keep the verdicts."""
        self._model = self._model or open_subject(self.subject)
        logger.info("%s against %s", contest.model, contest.other)
        folder = self.work / contest.model / contest.other
        records = by_likelihood(self._model, pairs, work=folder / "likelihoods")
        judged = [verdict(record) for record in records]
        write_jsonl(folder / _VERDICTS, judged)
        identity = self.known.identity(self.subject, pairs)
        self.known.store.add(identity, {_VERDICTS: folder / _VERDICTS})
        return judged


def verdict(record: Record) -> Record:
    """Return the fields of `compare_answers` on two different answers, of a record of the judge."""
    preference = _OUTCOMES[record["preference"]]
    agree = preference is None or record["consistent"] == 1.0
    return {
        "equal": False,
        "verdict": preference if agree else "tie",
        "preference": preference,
        **{key: record[key] for key in ("log_odds", "consistent", "position_bias", "n_words")},
    }


def _records(
    contest: Contest, pairs: Mapping[str, Pair | None], judged: Sequence[Record]
) -> list[Record]:
    """Return the records of a contest: `judged` are those of pairs of two different answers."""
    verdicts = iter(judged)
    nothing = dict.fromkeys(("log_odds", "consistent", "position_bias", "n_words"))
    records = []
    for prompt, pair in pairs.items():
        if pair is None:
            found: Record = {"equal": None, "verdict": None, "preference": None, **nothing}
        elif pair.first == pair.second:
            found = {"equal": True, "verdict": "tie", "preference": "tie", **nothing}
        else:
            found = next(verdicts)
        records.append({"model": contest.model, "other": contest.other, "id": prompt, **found})
    return records
