"""Check a study file whole and report every error at once, each with its key and a hint."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import (
    BaseModel,
    ValidationError,
)

from heirloom.study.adapters import with_bases
from heirloom.study.config import Study, study_type
from heirloom.study.file import check_study_files
from heirloom.study.references import missing_files, nearest, reference_problems
from heirloom.support.errors import HeirloomError
from heirloom.support.plugins import use_plugins

# pydantic puts the kind of a source into an error's path, where it means nothing to a user.
_SOURCE_KINDS = ("HubSource", "UrlSource", "PathSource", "WheelSource")


# Keys of earlier versions, and where to find now what they said.
_MOVED = {
    "generation": " It is called generate now; its keys are the same.",
    "finetuning": " It is called finetune now; its keys are the same.",
    "benchmarks": " It is called profiling now; its keys are the same.",
    "generate.shards": " How many jobs share the work is up to the machine: remove it, and give "
    "--set-scatter shards=2, or set-scatter in a profile.",
}


def parse_study(raw: dict[str, Any], *, root: Path, files: Iterable[str | Path] = ()) -> Study:
    """Check a study file whole.

    Args:
        raw: The study file as parsed from YAML, overrides merged in.
        root: Folder that relative paths in it start from.
        files: Files that `raw` was read from, in which a key may be there twice.

    Raises:
        HeirloomError: something is wrong. The message has every error, with its key and a hint.
    """
    check_study_files(files)
    _refuse_other_keys(raw)
    problems: list[str] = []
    study = None
    _use_plugins(raw)
    kind = study_type()
    try:
        study = kind.model_validate(raw)
    except ValidationError as error:
        problems += _describe(error, kind)
    problems += reference_problems(raw)
    problems += missing_files(raw, root)
    if study is None or problems:
        lines = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        name = raw.get("study", "without a name")
        raise HeirloomError(
            f"the study {name} cannot run as it is:\n{lines}\n"
            "Every key is explained in config/README.md."
        )
    return with_bases(study, root)


def _refuse_other_keys(raw: dict[str, Any]) -> None:
    """Refuse keys that YAML does not read as text: `no` and `on`, numbers and dates."""
    lines: list[str] = []
    pending: list[tuple[tuple[int | str, ...], Any]] = [((), raw)]
    while pending:
        path, value = pending.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, below in inner:
            if isinstance(value, dict) and not isinstance(key, str):
                where = _path([*path, str(key)])
                lines.append(f"  - {where}: YAML reads this key as {key!r}. Put it into quotes.")
            elif isinstance(below, dict | list):
                pending.append(((*path, key), below))
    if lines:
        raise HeirloomError("\n".join(["the study cannot run as it is:", *sorted(lines)]))


def _use_plugins(raw: dict[str, Any]) -> None:
    """Import the study's plugins, whose parts may be keys of the file."""
    named = raw.get("plugins")
    if isinstance(named, list):
        use_plugins([name for name in named if isinstance(name, str)])


def _describe(error: ValidationError, kind: type[Study]) -> list[str]:
    """One line per error: its key path, what is wrong, and a hint."""
    lines = []
    for item in error.errors():
        path = _path([part for part in item["loc"] if part not in _SOURCE_KINDS])
        if item["type"] == "extra_forbidden":
            hint = _MOVED.get(path) or nearest(
                str(item["loc"][-1]), _keys_beside(item["loc"], kind)
            )
            lines.append(f"{path}: unknown key.{hint}")
        elif item["type"] == "missing":
            lines.append(f"{path}: this key is missing.")
        elif _tells_no_secret(item["input"], item["loc"], kind):
            lines.append(f"{path}: {item['msg']} (it is {item['input']!r}).")
        else:
            lines.append(f"{path}: {item['msg']}.")
    return lines


def _tells_no_secret(value: Any, location: tuple[int | str, ...], kind: type[Study]) -> bool:
    """True if a wrong value can be repeated in a message.

    Not one of a section that says it is confidential, in which an API key may stand in the wrong
    place; nor a whole section, which may have one below it.
    """
    if isinstance(value, dict) or (isinstance(value, list) and any(map(_has_keys, value))):
        return False
    sections = [_section_at(location[:end], kind) for end in range(len(location) + 1)]
    return not any(getattr(section, "confidential", False) for section in sections)


def _has_keys(value: Any) -> bool:
    return isinstance(value, dict | list)


def _keys_beside(location: tuple[int | str, ...], kind: type[Study]) -> list[str]:
    """Keys that would have been right where an unknown one was found."""
    section = _section_at(location[:-1], kind)
    return list(section.model_fields) if section else []


def _section_at(location: tuple[int | str, ...], kind: type[Study]) -> type[BaseModel] | None:
    """Class of the section at a place in the study file; None where there is none, or several."""
    known: Any = kind
    for part in location:
        if get_origin(known) in (dict, list):  # `part` is the name or number of an entry
            known = get_args(known)[-1]
        elif _is_section(known):
            field = known.model_fields.get(part)
            known = field.annotation if field else None
        else:  # a union: `part` says which of its classes the value was checked against
            known = next((s for s in _sections_in(known) if s.__name__ == part), None)
    sections = _sections_in(known)
    return sections[0] if len(sections) == 1 else None


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if _is_section(annotation):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _path(parts: list[int | str]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the study file"
