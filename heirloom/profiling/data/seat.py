"""Association tests: the files of sent-bias, and the word sets of WEFE."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from heirloom.profiling.data.layouts import read_document
from heirloom.support.errors import HeirloomError

_GENDER = ("weat6", "weat6b", "weat7", "weat7b", "weat8", "weat8b")
_RACE = ("weat3", "weat3b", "weat4", "weat5", "weat5b")
_STEREOTYPE = ("angry_black_woman_stereotype", "angry_black_woman_stereotype_b")
_DOUBLE_BIND = tuple(f"heilman_double_bind_{kind}" for kind in ("competent", "likable"))
_RELIGION = ("religion1", "religion1b", "religion2", "religion2b")

# Every test that the authors published and, of the religion tests, bias-bench. The topics gender,
# race and religion hold what bias-bench averages under these names, and the same tests on words.
TESTS: Mapping[str, str] = {
    name: topic
    for topic, names in (
        ("objects", ("weat1", "weat2", "sent-weat1", "sent-weat2")),
        ("race", chain(_RACE, _STEREOTYPE, (f"sent-{name}" for name in _RACE + _STEREOTYPE))),
        ("gender", chain(_GENDER, (f"sent-{name}" for name in _GENDER))),
        ("health", ("weat9", "sent-weat9")),
        ("age", ("weat10", "sent-weat10")),
        ("religion", (f"sent-{name}" for name in _RELIGION)),
        (
            "double_bind",
            chain(
                (
                    f"{name}_{form}"
                    for name in _DOUBLE_BIND
                    for form in ("one_word", "one_sentence", "1", "1-", "1_3-")
                ),
                (f"sent-{name}_one_word" for name in _DOUBLE_BIND),
            ),
        ),
    )
    for name in names
}
"""Name of every test that can be run, and its topic."""

_SETS = ("targ1", "targ2", "attr1", "attr2")  # X, Y, A and B in the authors' files

# Table 1 of Caliskan et al., and the variants of May et al. that need no other words.
_WORD_SETS: Mapping[str, tuple[str, str, str, str]] = {
    "weat1": ("flowers", "insects", "pleasant_5", "unpleasant_5a"),
    "weat2": ("instruments", "weapons", "pleasant_5", "unpleasant_5a"),
    "weat3": (
        *("european_american_names_5", "african_american_names_5"),
        *("pleasant_5", "unpleasant_5b"),
    ),
    "weat4": (
        *("european_american_names_7", "african_american_names_7"),
        *("pleasant_5", "unpleasant_5b"),
    ),
    "weat5": (
        *("european_american_names_7", "african_american_names_7"),
        *("pleasant_9", "unpleasant_9"),
    ),
    "weat6": ("male_names", "female_names", "career", "family"),
    "weat6b": ("male_terms", "female_terms", "career", "family"),
    "weat7": ("math", "arts", "male_terms", "female_terms"),
    "weat7b": ("math", "arts", "male_names", "female_names"),
    "weat8": ("science", "arts_2", "male_terms_2", "female_terms_2"),
    "weat8b": ("science", "arts_2", "male_names", "female_names"),
    "weat9": ("mental_disease", "physical_disease", "temporary", "permanent"),
    "weat10": ("young_people_names", "old_people_names", "pleasant_9", "unpleasant_9"),
}


@dataclass(frozen=True)
class AssociationTest:
    """Targets X and Y, attributes A and B: each stimulus once per set, in the file's order."""

    x: tuple[str, ...]
    y: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]


def gather_tests(
    data: Mapping[str, Path], wanted: Sequence[str] | None
) -> dict[str, AssociationTest]:
    """Read the tests to run, in the order of `TESTS`.

    Args:
        data: Data set to its place: a file or a folder of sent-bias, or WEFE's words.
        wanted: Names of tests; None for all there are.

    Raises:
        HeirloomError: As `read_tests`; a test is in two data sets, or a wanted one in none.
    """
    found: dict[str, AssociationTest] = {}
    origin: dict[str, str] = {}
    for source, path in data.items():
        for name, test in read_tests(path, wanted).items():
            if name in found:
                raise HeirloomError(
                    f"the test {name} is in two of the data sets of seat, {origin[name]} and "
                    f"{source}: name one of them only, or leave {name} out of `tests`."
                )
            found[name], origin[name] = test, source
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise HeirloomError(
            f"the test {missing[0]} is in none of the data sets of seat ({', '.join(data)}): name "
            "one that has it in `data`, or leave it out of `tests`."
        )
    return {name: found[name] for name in TESTS if name in found}


def read_tests(path: Path, wanted: Collection[str] | None = None) -> dict[str, AssociationTest]:
    """Read the tests of a data set.

    Args:
        path: A file of sent-bias, which holds one test and is called after it; a folder with such
            files (`.jsonl`, at any depth, each also with `.gz`); or WEFE's `WEAT.json`.
        wanted: Names of tests; others are not looked at. None for all there are.

    Raises:
        HeirloomError: A file cannot be read or is no such file; a test is not one of `TESTS`, or is
            in the folder twice; the folder has no test.
    """
    if path.is_file():
        return _read_file(path, wanted)
    tests: dict[str, AssociationTest] = {}
    files = sorted(f for f in path.rglob("*") if f.name.endswith((".jsonl", ".jsonl.gz")))
    if not files:
        raise HeirloomError(f"{path} has no test: there is no .jsonl file in it.")
    for file in files:
        if wanted is not None and _test_name(file) not in wanted:
            continue
        for name, test in _read_file(file, wanted).items():
            if name in tests:
                raise HeirloomError(f"{file}: the test {name} is in {path} twice; remove one.")
            tests[name] = test
    return tests


def _read_file(file: Path, wanted: Collection[str] | None) -> dict[str, AssociationTest]:
    document = read_document(file)
    if not isinstance(document, dict):
        document = {}
    if all(key in document for key in _SETS):
        return _sent_bias_test(file, document, wanted)
    return _wefe_tests(file, document, wanted)


def _sent_bias_test(
    file: Path, document: dict[str, Any], wanted: Collection[str] | None
) -> dict[str, AssociationTest]:
    """The one test of a file of sent-bias, which is called after it."""
    name = _test_name(file)
    if wanted is not None and name not in wanted:
        return {}
    if name not in TESTS:
        raise HeirloomError(
            f"{file} is called like no known test. {nearest(name, TESTS)} If it is not to be "
            "run, name those that are in `tests`."
        )
    sets = []
    for key in _SETS:
        entry = document[key]
        stimuli = entry.get("examples") if isinstance(entry, dict) else None
        sets.append(_stimuli(stimuli, f"{file}, {key}.examples"))
    return {name: AssociationTest(*sets)}


def _wefe_tests(
    file: Path, document: dict[str, Any], wanted: Collection[str] | None
) -> dict[str, AssociationTest]:
    """The tests of which WEFE's file has all word sets."""
    known = {key for keys in _WORD_SETS.values() for key in keys}
    if known.isdisjoint(document):
        raise HeirloomError(
            f"{file} holds neither a test of sent-bias (an object with {', '.join(_SETS)}) nor the "
            "word sets of WEFE (an object with flowers, insects and so on)."
        )
    complete = {n: keys for n, keys in _WORD_SETS.items() if all(key in document for key in keys)}
    if not complete:
        raise HeirloomError(
            f"{file} has the word sets of no test: weat1, for one, needs "
            f"{', '.join(_WORD_SETS['weat1'])}."
        )
    return {
        name: AssociationTest(*(_stimuli(document[key], f"{file}, {key}") for key in keys))
        for name, keys in complete.items()
        if wanted is None or name in wanted
    }


def _stimuli(value: Any, where: str) -> tuple[str, ...]:
    """The different texts of a set, in their order."""
    if not isinstance(value, list) or not value:
        raise HeirloomError(f"{where} must be a list of texts that is not empty.")
    for number, text in enumerate(value, start=1):
        if not isinstance(text, str) or not text.strip():
            raise HeirloomError(f"{where}, entry {number} is {text!r}; it must be a text.")
    return tuple(dict.fromkeys(value))


def _test_name(file: Path) -> str:
    return canonical(re.sub(r"\.[a-z]+(\.gz)?$", "", file.name))


def canonical(name: str) -> str:
    """Return a test's name as part of a metric's: the `+` of `..._1+3-` becomes `_`."""
    return re.sub(r"[^a-z0-9_-]", "_", name.lower())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the known names that are closest to a name, for a message."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3)
    return f"The nearest are {', '.join(close)}." if close else f"Known are {', '.join(names)}."
