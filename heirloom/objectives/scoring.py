"""Score texts with a named scorer, and check everything that it returns."""

import inspect
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from heirloom.objectives import ScoreFunction, Scorer, load
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

BATCH = 1024
"""Texts per call of a scorer when candidates are scored; see `score_candidates`."""


def score(
    name: str, texts: Sequence[str | None], options: Mapping[str, Any] | None = None
) -> list[float | None]:
    """Score texts with the scorer called `name`.

    Args:
        name: As for `heirloom.objectives.load`.
        texts: Texts to score; None (no answer) has no score, and no scorer sees it.
        options: Keyword arguments of the scorer.

    Returns:
        One finite number or None per text, in the order of `texts`; NaN and infinities become None.

    Raises:
        HeirloomError: There is no such scorer or option, a package is missing, the scorer raised,
            or it returned something other than one number or None per text.
    """
    scorer = load(name)
    options = dict(options or {})
    _check_options(scorer, options)
    present = [text for text in texts if text is not None]
    scores = iter(_scores(scorer, present, options) if present or not texts else [])
    return [None if text is None else next(scores) for text in texts]


def _scores(scorer: Scorer, texts: list[str], options: dict[str, Any]) -> list[float | None]:
    """Call a scorer, and check what it returns."""
    try:
        raw = scorer.function(texts, **options)
    except HeirloomError:
        raise
    except ImportError as error:
        needs = f" Install it with: pip install {' '.join(scorer.needs)}" if scorer.needs else ""
        raise HeirloomError(
            f"{_describe(scorer)} could not import a package ({error}).{needs}"
        ) from error
    except Exception as error:
        index = _culprit(scorer, texts, options)
        where = "" if index is None else f" on text {index} ({texts[index][:60]!r})"
        raise HeirloomError(
            f"{_describe(scorer)} failed{where}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(raw, list):
        raise HeirloomError(
            f"{_describe(scorer)} returned {type(raw).__name__}; it must return a list with one "
            "float or None per text."
        )
    if len(raw) != len(texts):
        raise HeirloomError(
            f"{_describe(scorer)} returned {len(raw)} scores for {len(texts)} texts; it must "
            "return one per text, in order, None where there is none."
        )
    return [_finite(scorer, index, value) for index, value in enumerate(raw)]


def score_candidates(
    candidates: list[Record],
    name: str,
    options: Mapping[str, Any],
    *,
    shard: int = 1,
    shards: int = 1,
) -> list[Record]:
    """Score one shard of a teacher's candidates; the shards follow each other in their order.

    A scorer gets at most `BATCH` texts per call, the same ones whatever the number of shards:
    scores of a model that computes in batches depend, by rounding, on the other texts in a batch.

    Args:
        candidates: All records of `candidates.jsonl`.
        name: As for `heirloom.objectives.load`.
        options: Keyword arguments of the scorer.
        shard: Number of the shard, from 1 to `shards`.
        shards: Number of jobs that share the work.

    Returns:
        Records {"prompt_id", "sample", "score"}.

    Raises:
        HeirloomError: See `score`.
    """
    starts = range(0, len(candidates), BATCH)
    own = starts[len(starts) * (shard - 1) // shards : len(starts) * shard // shards]
    rows = []
    for start in own:
        batch = candidates[start : start + BATCH]
        scores = score(name, [candidate["completion"] for candidate in batch], options)
        rows += [
            {"prompt_id": candidate["prompt_id"], "sample": candidate["sample"], "score": value}
            for candidate, value in zip(batch, scores, strict=True)
        ]
    return rows


def bind(function: str, options: Mapping[str, Any]) -> ScoreFunction:
    """Return `score` with a scorer and its options filled in; a call may override the options."""

    def scorer(texts: Sequence[str | None], **overrides: Any) -> list[float | None]:
        return score(function, texts, {**options, **overrides})

    return scorer


def _describe(scorer: Scorer) -> str:
    return f"The scorer {scorer.name!r} ({scorer.source})"


def _check_options(scorer: Scorer, options: dict[str, Any]) -> None:
    parameters = inspect.signature(scorer.function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    for option in options:
        if option not in scorer.options:
            raise HeirloomError(
                f"{_describe(scorer)} has no option {option!r}. "
                f"Its options: {', '.join(scorer.options) or 'none'}."
            )


def _culprit(scorer: Scorer, texts: list[str], options: dict[str, Any]) -> int | None:
    """Index of a text that makes the scorer raise, or None if no single text does.

    Halves the list until one text is left, which costs no more than one further pass.
    """

    def fails(some: list[str]) -> bool:
        try:
            scorer.function(some, **options)
        except Exception:
            return True
        return False

    # A scorer that fails on anything (no weights, a bad option) is not the text's fault.
    if not texts or fails(["A plain sentence of seven short words."]):
        return None
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(texts[low:middle]) else (middle, high)
    return low if fails([texts[low]]) else None


def _finite(scorer: Scorer, index: int, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise HeirloomError(
            f"{_describe(scorer)} returned {value!r} ({type(value).__name__}) for text {index}; "
            "a score is a float, or None where there is none."
        )
    number = float(value)
    return number if math.isfinite(number) else None
