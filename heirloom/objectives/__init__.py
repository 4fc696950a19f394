"""The text metrics that can serve as objectives, found by name.

A scorer maps a list of texts to a list of numbers, null where a text has no score. Adding one is
adding one file to this folder:

    from heirloom.objectives import scorer

    @scorer("shouting", unit="share of letters")
    def shouting(texts: list[str]) -> list[float | None]:
        ...

Keyword-only parameters of the function are its options, set by the study's configuration. Heavy
imports belong inside the function: every file here is imported to find its scorers. A scorer that
lives elsewhere needs no decorator and is named "package.module:function".
"""

import difflib
import importlib
import inspect
import math
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError

PIECE = 1024
"""Texts that are scored together in a study; see `score_shard`."""

Scorer = Callable[..., list[float | None]]
"""`scorer(texts, **options)`: one score a text, in order; None = this text cannot be scored."""


@dataclass(frozen=True)
class RegisteredScorer:
    """A scorer and what is known about it.

    Attributes:
        name: what the configuration calls it.
        function: the scorer itself.
        unit: unit of its scores, "" if unknown.
        needs: pip packages it imports when it runs, beyond what heirloom always needs.
        source: the file that defines it.
    """

    name: str
    function: Scorer
    unit: str
    needs: tuple[str, ...]
    source: Path


_registry: dict[str, RegisteredScorer] = {}


def scorer(name: str, *, unit: str, needs: tuple[str, ...] = ()) -> Callable[[Scorer], Scorer]:
    """Register the decorated function under `name`.

    Args:
        name: the metric's name in configurations and file names.
        unit: unit of the scores.
        needs: pip packages that the function imports, named in the error if one is missing.

    Raises:
        HeirloomError: another file has registered this name.
    """

    def register(function: Scorer) -> Scorer:
        source = _source(function)
        earlier = _registry.get(name)
        if earlier is not None and earlier.source != source:
            raise HeirloomError(
                f"The objective metric {name!r} is defined twice, in {earlier.source} and in "
                f"{source}: rename one of them."
            )
        _registry[name] = RegisteredScorer(name, function, unit, needs, source)
        return function

    return register


def names() -> list[str]:
    """The registered names, sorted."""
    _discover()
    return sorted(_registry)


def load(name: str) -> RegisteredScorer:
    """Find a scorer.

    Args:
        name: a registered name, or "package.module:function" for any importable function.

    Raises:
        HeirloomError: nothing has that name, or it is no function.
    """
    if ":" in name:
        return _load_external(name)
    known = names()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise HeirloomError(
            f"There is no objective metric {name!r}.{hint} Known: {', '.join(known)}. "
            'A function of your own is named "package.module:function".'
        )
    return _registry[name]


def source_file(name: str) -> Path:
    """The file that defines a scorer.

    Raises:
        HeirloomError: as `load`.
    """
    return load(name).source


def source_files(name: str) -> list[Path]:
    """The files that define a scorer: its own first, then the objectives whose code it imports.

    A rule that declares them as inputs re-scores when one changes.

    Raises:
        HeirloomError: as `load`.
    """
    found = load(name)
    imported = vars(inspect.getmodule(inspect.unwrap(found.function))).values()
    modules = {str(getattr(value, "__module__", "")) for value in imported}
    used = {
        Path(str(sys.modules[module].__file__)).resolve()
        for module in modules
        if module.startswith(f"{__name__}.")
    }
    return [found.source, *sorted(used - {found.source})]


def score(
    function_name: str, texts: list[str], options: Mapping[str, Any] | None = None
) -> list[float | None]:
    """Score texts with a named scorer, trusting nothing that comes back.

    Args:
        function_name: as for `load`.
        texts: what to score.
        options: keyword arguments of the scorer.

    Returns:
        One finite float or None a text, in the order of `texts`; NaN and infinities become None.

    Raises:
        HeirloomError: no such scorer or option, a package is missing, the scorer raised, or it
            returned something other than one number or None a text.
    """
    found = load(function_name)
    options = dict(options or {})
    _check_options(found, options)
    try:
        raw = found.function(texts, **options)
    except HeirloomError:
        raise
    except ImportError as error:
        needs = f" Install it with: pip install {' '.join(found.needs)}" if found.needs else ""
        raise HeirloomError(
            f"{_describe(found)} could not import a package ({error}).{needs}"
        ) from error
    except Exception as error:
        index = _culprit(found, texts, options)
        where = "" if index is None else f" on text {index} ({texts[index][:60]!r})"
        raise HeirloomError(
            f"{_describe(found)} failed{where}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(raw, list):
        raise HeirloomError(
            f"{_describe(found)} returned {type(raw).__name__}; it must return a list with one "
            "float or None a text."
        )
    if len(raw) != len(texts):
        raise HeirloomError(
            f"{_describe(found)} returned {len(raw)} scores for {len(texts)} texts; it must return "
            "one a text, in order, None where there is none."
        )
    return [_finite(found, index, value) for index, value in enumerate(raw)]


def score_shard(
    function_name: str, texts: list[str], options: Mapping[str, Any], *, shard: int, shards: int
) -> tuple[slice, list[float | None]]:
    """`score` of one of `shards` shares of the texts, counted from 0.

    Texts are scored in pieces of `PIECE`, whatever the number of shards: a scorer that batches
    texts rounds by what is beside them.

    Returns:
        Which texts these are, and their scores. Shares follow each other in the texts' order.
    """
    starts = range(0, len(texts), PIECE)
    own = starts[len(starts) * shard // shards : len(starts) * (shard + 1) // shards]
    scores = [s for i in own for s in score(function_name, texts[i : i + PIECE], options)]
    return slice(own.start, own.start + len(scores)), scores


def bind(function: str, options: Mapping[str, Any]) -> Scorer:
    """`score` with a scorer and its options filled in; a call may override the options."""

    def scorer(texts: list[str], **overrides: Any) -> list[float | None]:
        return score(function, texts, {**options, **overrides})

    return scorer


@cache
def _discover() -> None:
    """Import every module of this folder once, which registers its scorers."""
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        try:
            importlib.import_module(module.name)
        except HeirloomError:
            raise
        except Exception as error:
            raise HeirloomError(
                f"{module.name.replace('.', '/')}.py could not be imported: "
                f"{type(error).__name__}: {error}. Packages that only the scorer needs are "
                "imported inside its function."
            ) from error


def _load_external(name: str) -> RegisteredScorer:
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        raise HeirloomError(
            f"The objective metric {name!r} could not be imported ({type(error).__name__}: "
            f'{error}). "package.module:function" must name a function in a module that Python '
            "finds from the study's folder."
        ) from error
    if not inspect.isfunction(function):
        raise HeirloomError(f"The objective metric {name!r} is not a Python function.")
    return RegisteredScorer(name, function, "", (), _source(function))


def _source(function: Scorer) -> Path:
    # unwrap: a decorated function is defined where it is written, not where its decorator is.
    file = inspect.getsourcefile(inspect.unwrap(function))
    if file is None:
        raise HeirloomError(f"{function!r} has no source file, so no rule can depend on it.")
    return Path(file).resolve()


def _describe(found: RegisteredScorer) -> str:
    return f"The scorer {found.name!r} ({found.source})"


def _check_options(found: RegisteredScorer, options: dict[str, Any]) -> None:
    parameters = inspect.signature(found.function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    allowed = [
        parameter.name
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for option in options:
        if option not in allowed:
            raise HeirloomError(
                f"{_describe(found)} has no option {option!r}. "
                f"Its options: {', '.join(allowed) or 'none'}."
            )


def _culprit(found: RegisteredScorer, texts: list[str], options: dict[str, Any]) -> int | None:
    """The index of a text that makes the scorer raise, or None if no single text does.

    Halves the list until one text is left, which costs no more than one further pass.
    """

    def fails(part: list[str]) -> bool:
        try:
            found.function(part, **options)
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


def _finite(found: RegisteredScorer, index: int, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise HeirloomError(
            f"{_describe(found)} returned {value!r} ({type(value).__name__}) for text {index}; "
            "a score is a float, or None where there is none."
        )
    number = float(value)
    return number if math.isfinite(number) else None
