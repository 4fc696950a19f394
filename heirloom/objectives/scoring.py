"""Score texts with a named scorer, and check everything that it returns."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

from heirloom.objectives import ScoreFunction, Scorer, load
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json
from heirloom.support.result_store import ResultStore, digests, versions
from heirloom.support.work_folder import fingerprint

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
    scorer.check_options(options)
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
            f"{scorer.described} could not import a package ({error}).{needs}"
        ) from error
    except Exception as error:
        index = _culprit(scorer, texts, options)
        where = "" if index is None else f" on text {index} ({texts[index][:60]!r})"
        raise HeirloomError(
            f"{scorer.described} failed{where}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(raw, list):
        raise HeirloomError(
            f"{scorer.described} returned {type(raw).__name__}; it must return a list with one "
            "float or None per text."
        )
    if len(raw) != len(texts):
        raise HeirloomError(
            f"{scorer.described} returned {len(raw)} scores for {len(texts)} texts; it must "
            "return one per text, in order, None where there is none."
        )
    return [_finite(scorer, index, value) for index, value in enumerate(raw)]


@dataclass(frozen=True)
class Known:
    """Scores of earlier jobs, by batch.

    Attributes:
        store: Where they are kept.
        code: Files that define the scorer.
    """

    store: ResultStore
    code: Sequence[str | Path]

    def score(self, name: str, texts: list[str], options: Mapping[str, Any]) -> list[float | None]:
        """Return the scores of a batch as `score` does, computed only if it never was before."""
        identity = {
            "texts": fingerprint(texts),
            "scorer": name,
            "options": _without_places(dict(options)),
            "files": files_named(options),
            "code": digests(self.code),
            "versions": versions(load(name).needs),
        }
        found = self.store.find(identity)
        if found:
            scores: list[float | None] = read_json(found["scores.json"])
            return scores
        scores = score(name, texts, options)
        self.store.add(identity, {"scores.json": json.dumps(scores)})
        return scores


def _without_places(value: Any) -> Any:
    """Options with checksums for paths: files of equal content have equal scores anywhere."""
    if isinstance(value, Path):
        return digests(file for file in [value, *value.rglob("*")] if file.is_file())
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    return [_without_places(item) for item in value] if isinstance(value, list) else value


def files_named(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the checksums of the files whose path an option is, by option."""
    return {key: _content(value) for key, value in sorted(options.items())}


def _content(value: object) -> list[str]:
    """Checksums of the files that an option names, if it does."""
    path = Path(value) if isinstance(value, str) and value else None
    if path is None or not path.exists():
        return []
    files: list[str] = _without_places(path)
    return files


def score_candidates(
    candidates: Iterable[Record],
    name: str,
    options: Mapping[str, Any],
    *,
    shard: int = 1,
    shards: int = 1,
    known: Known | None = None,
) -> Iterator[Record]:
    """Score one shard of a teacher's candidates; the shards follow each other in their order.

    A scorer gets at most `BATCH` texts per call, the same ones whatever the number of shards:
    scores of a model that computes in batches depend, by rounding, on the other texts in a batch.
    No more candidates than a batch are held at a time.

    Args:
        candidates: All records of `candidates.jsonl`. Iterated twice: first, they are counted.
        name: As for `heirloom.objectives.load`.
        options: Keyword arguments of the scorer.
        shard: Number of the shard, from 1 to `shards`.
        shards: Number of jobs that share the work.
        known: Scores that were computed before; None: all are computed.

    Yields:
        Records {"prompt_id", "sample", "score"}.

    Raises:
        HeirloomError: See `score`.
    """
    starts = range(0, sum(1 for _ in candidates), BATCH)
    own = starts[len(starts) * (shard - 1) // shards : len(starts) * shard // shards]
    left = islice(candidates, own.start, None) if own else iter(())
    for _ in own:
        batch = list(islice(left, BATCH))
        texts = [candidate["completion"] for candidate in batch]
        scores = known.score(name, texts, options) if known else score(name, texts, options)
        for candidate, value in zip(batch, scores, strict=True):
            place = {"prompt_id": candidate["prompt_id"], "sample": candidate["sample"]}
            yield {**place, "score": value}


def bind(function: str, options: Mapping[str, Any]) -> ScoreFunction:
    """Return `score` with a scorer and its options filled in; a call may override the options."""

    def scorer(texts: Sequence[str | None], **overrides: Any) -> list[float | None]:
        return score(function, texts, {**options, **overrides})

    return scorer


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
            f"{scorer.described} returned {value!r} ({type(value).__name__}) for text {index}; "
            "a score is a float, or None where there is none."
        )
    number = float(value)
    return number if math.isfinite(number) else None
