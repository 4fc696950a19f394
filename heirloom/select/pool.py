"""Candidates that a strategy chooses from, grouped by prompt, and its choices."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

Key = tuple[str, str, int]  # teacher, prompt id, sample


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion of a prompt, sampled from a teacher.

    Attributes:
        teacher: The model that generated it.
        prompt_id: The prompt.
        sample: Its number among the teacher's completions of the prompt, from 0.
        completion: The text; "" if there is no answer.
        finish_reason: "stop", "length" if it was truncated, or the reason for no answer.
        scores: Score per metric that the choice takes; None where there is no score.
    """

    teacher: str
    prompt_id: str
    sample: int
    completion: str
    finish_reason: str
    scores: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Teacher, prompt id and sample, which name it."""
        return self.teacher, self.prompt_id, self.sample

    @property
    def usable(self) -> bool:
        """True if the completion holds more than white space. No strategy is offered another."""
        return bool(self.completion.strip())

    @property
    def truncated(self) -> bool:
        """True if generation stopped at the maximum number of tokens."""
        return self.finish_reason == "length"

    def draw(self, prefix: str) -> int:
        """Return a pseudo-random number that depends on `prefix` and the candidate's key alone."""
        name = f"{prefix}/{self.prompt_id}/{self.teacher}/{self.sample}"
        return int(hashlib.sha256(name.encode()).hexdigest(), 16)

    def __str__(self) -> str:
        return described(self.key)


@dataclass(frozen=True)
class Group:
    """The candidates of one prompt.

    Attributes:
        prompt_id: The prompt.
        candidates: Those that may be chosen, ordered by teacher and sample: usable, with a score by
            every metric that decides, within the bounds, and complete unless the prompt set admits
            truncated ones. There may be none.
        n_candidates: Number of all candidates.
        n_excluded: Number of those left out because they are truncated.
        n_unscored: Number of those without a score by a metric that decides.
        n_ineligible: Number of those outside a bound, or without a score there.
        blocked: True if there are none to choose only because of the bounds.
        all_truncated: True if there are none to choose only because those are truncated.
    """

    prompt_id: str
    candidates: tuple[Candidate, ...]
    n_candidates: int
    n_excluded: int = 0
    n_unscored: int = 0
    n_ineligible: int = 0
    blocked: bool = False
    all_truncated: bool = False


@dataclass(frozen=True)
class Pool:
    """The candidates of a training set.

    Attributes:
        groups: One per prompt, ordered by prompt id.
        teachers: The models that have candidates here, sorted.
    """

    groups: tuple[Group, ...]
    teachers: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A chosen candidate.

    Attributes:
        candidate: The candidate.
        score: The number that decided, if one did.
        n_tied: Number of other candidates of the prompt with exactly that score.
    """

    candidate: Candidate
    score: float | None = None
    n_tied: int = 0


def described(key: Key) -> str:
    """A candidate's name in a message."""
    teacher, prompt_id, sample = key
    return f"teacher {teacher}, prompt {prompt_id}, sample {sample}"
