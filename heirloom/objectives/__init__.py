"""Scorers: the text metrics that can serve as objectives, found by name.

A scorer maps a list of texts to a list of numbers, null where a text has no score. A new one is one
file in this folder, or in a plugin of the study:

    from heirloom.objectives import scorer

    @scorer("shouting", label="Shouting", unit="share of letters")
    def shouting(texts: list[str]) -> list[float | None]:
        ...

Keyword-only parameters of the function are its options, set in the study file. One of the type
`DataFile` names a data set of the study, which is fetched first; the function gets its path. Import
heavy packages inside the function: every file here is imported to find its scorers. A function that
lives elsewhere needs no registration and is named "package.module:function".
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, Unpack

from heirloom.support.errors import HeirloomError
from heirloom.support.named_options import Kind, NameOf, kinds_of
from heirloom.support.registry import Registry

ScoreFunction = Callable[..., list[float | None]]
"""`function(texts, **options)`: one score per text, in order; None where a text has no score."""


DataFile = Annotated[str | Path, NameOf("data")]
"""The type of an option that names a data set; the scorer gets the path of its file or folder."""


@dataclass(frozen=True)
class Scorer:
    """A function that scores texts, and what reports, cards and estimates say about it.

    Attributes:
        name: Name in study files, and in messages.
        function: The function itself.
        label: Name for readers, such as "Lexical diversity (MTLD)".
        unit: Unit of the scores; "" if unknown.
        direction: The better direction, if there is one.
        relative: True if the scores are on a ratio scale, so that percentage changes are
            meaningful; False where zero means nothing, as in a reward model's scores.
        needs: pip packages that the function imports beyond heirloom's own.
        parameters: Parameter count of the model behind it, for estimates of cost; 0 without one.
        same_as: Profile metric, `benchmark.metric`, that measures the same number on a model's
            completions; "" if there is none.
        offensive: Completions that are chosen by it may be offensive, and are shown with a warning.
        caveat: Heading and text of a limit that reports state when it is used.
    """

    name: str
    function: ScoreFunction
    label: str
    unit: str = ""
    direction: Literal["higher", "lower"] | None = None
    relative: bool = True
    needs: tuple[str, ...] = ()
    parameters: int = 0
    same_as: str = ""
    offensive: bool = False
    caveat: tuple[str, str] | None = None

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def options(self) -> dict[str, Any]:
        """Keyword-only parameters and their defaults."""
        return {
            parameter.name: parameter.default
            for parameter in inspect.signature(self.function).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    @property
    def named(self) -> dict[str, Kind]:
        """Kind of thing in the study file that an option names, for those that name something."""
        try:
            parameters = inspect.signature(self.function, eval_str=True).parameters
        except Exception:  # a user's annotations may exist for type checkers only
            return {}
        return kinds_of({option: parameters[option].annotation for option in self.options})

    def check_options(self, options: Iterable[str]) -> None:
        """Refuse options that the function does not have, or that leave out one it requires.

        Args:
            options: Names of the options that are given.

        Raises:
            HeirloomError: It names the option.
        """
        parameters = inspect.signature(self.function).parameters.values()
        given = set(options)
        unknown = sorted(given - self.options.keys())
        if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            raise HeirloomError(
                f"{self.described} has no option {unknown[0]!r}. "
                f"Its options: {', '.join(self.options) or 'none'}."
            )
        for option, default in self.options.items():
            if default is inspect.Parameter.empty and option not in given:
                what = ", which names an entry of data" if option in self.named else ""
                raise HeirloomError(f"{self.described} requires the option {option!r}{what}.")

    @property
    def described(self) -> str:
        """Name and file, for messages."""
        return f"The scorer {self.name!r} ({self.source})"

    @property
    def source(self) -> Path:
        """File that defines the function.

        Raises:
            HeirloomError: There is none.
        """
        # unwrap: a decorated function is defined where it is written, not where its decorator is.
        file = inspect.getsourcefile(inspect.unwrap(self.function))
        if file is None:
            raise HeirloomError(f"The scorer {self.name!r} has no source file to depend on.")
        return Path(file).resolve()


class Facts(TypedDict, total=False):
    """Optional facts about a scorer: the attributes of `Scorer` by the same names."""

    direction: Literal["higher", "lower"]
    relative: bool
    needs: tuple[str, ...]
    parameters: int
    same_as: str
    offensive: bool
    caveat: tuple[str, str] | None


SCORERS = Registry[Scorer]("scorer", "heirloom.objectives")


def scorer(
    name: str, *, label: str, unit: str, **facts: Unpack[Facts]
) -> Callable[[ScoreFunction], ScoreFunction]:
    """Register the decorated function as the scorer `name`.

    Args:
        name: Name in study files.
        label: Name for readers.
        unit: Unit of the scores.
        facts: See `Scorer`.

    Raises:
        HeirloomError: Another file has registered this name.
    """

    def register(function: ScoreFunction) -> ScoreFunction:
        SCORERS.register(name, Scorer(name, function, label, unit, **facts), source=function)
        return function

    return register


def load(name: str) -> Scorer:
    """Return a scorer.

    Args:
        name: A registered name, or "package.module:function" for any function that can be imported.

    Raises:
        HeirloomError: Nothing has that name, or it is not a function.
    """
    if ":" in name:
        return _load_function(name)
    try:
        return SCORERS.get(name)
    except HeirloomError as error:
        raise HeirloomError(
            f'{error} A function of your own is named "package.module:function".'
        ) from None


def source_files(name: str) -> list[Path]:
    """Files that define a scorer: its own first, then those of this package that it imports from.

    A rule that declares them as inputs scores again when one changes.

    Raises:
        HeirloomError: See `load`.
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


def _load_function(name: str) -> Scorer:
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        raise HeirloomError(
            f"The scorer {name!r} could not be imported ({type(error).__name__}: {error}). "
            '"package.module:function" must name a function in a module that Python finds from '
            "the study's folder."
        ) from error
    if not inspect.isfunction(function):
        raise HeirloomError(f"The scorer {name!r} is not a Python function.")
    return Scorer(name, function, label=name)
