"""Read a study file, and name the line of what is wrong with it.

YAML keeps the last of two sections of one name, and Snakemake says of a file that is no YAML
nothing but that.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from heirloom.support.errors import HeirloomError

_DEFAULT = "config/config.yaml"
_MERGE = "tag:yaml.org,2002:merge"


def read_study_file(path: str | Path) -> dict[str, Any]:
    """Read a study file, YAML or JSON.

    Raises:
        HeirloomError: It cannot be read, it is not valid (the place is named), a key is there
            twice, or there are none.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise HeirloomError(f"{path}: {error.strerror}. Name a study file.") from error
    except UnicodeDecodeError as error:
        raise HeirloomError(
            f"{path}: the byte 0x{error.object[error.start]:02x} is not UTF-8. Save it as UTF-8."
        ) from None
    found = _parsed(path, text)
    if not isinstance(found, dict):
        raise HeirloomError(f"{path}: a study file has keys at its top level: study, title ...")
    return found


def _parsed(path: Path, text: str) -> Any:
    """JSON or YAML, tried in the order that Snakemake tries them."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated is not None:
            raise HeirloomError(f"{path}: the key {repeated!r} is there twice. Remove one.")
        return dict(pairs)

    with suppress(ValueError, RecursionError):
        return json.loads(text, object_pairs_hook=distinct)
    try:
        loader = yaml.SafeLoader(text)  # not libyaml's, which nesting can crash
        root = loader.get_single_node()
        _refuse_repeated_keys(path, root)
        return loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        raise HeirloomError(f"{path}{_place(error)}: {_told(error, text)}") from None
    except (yaml.YAMLError, ValueError) as error:  # a character or a date that does not exist
        raise HeirloomError(f"{path}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise HeirloomError(f"{path}: sections are nested too deeply.") from None


def check_study_files(paths: Iterable[str | Path]) -> None:
    """Refuse study files that `read_study_file` refuses."""
    for path in paths:
        read_study_file(path)


def check_command_line(arguments: Sequence[str]) -> None:
    """End the process with a message if the study file that Snakemake is to read is not valid.

    Called by profiles/default, which Snakemake reads before a study file. Files that are not there
    are left to Snakemake.

    Args:
        arguments: Snakemake's command line.
    """
    named: list[str] = []
    follows = False
    for argument in arguments:
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
            follows = option in ("--configfile", "--configfiles")
            named += [value] if follows and value else []
        elif follows:
            named.append(argument)
    try:
        check_study_files(file for file in named or [_DEFAULT] if Path(file).is_file())
    except HeirloomError as error:
        sys.exit(str(error))


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _told(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return the parser's message, with what usually causes it."""
    problem = error.problem or "not valid YAML"
    mark = error.problem_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if problem.startswith("mapping values are not allowed"):
        return (
            f"{problem}. A text with a colon and a space in it belongs in quotes: "
            'title: "Parrots: a study". If there is none, check the indentation of this line.'
        )
    if "\t" in line:
        return f"{problem}. There is a tab in this line: indent with spaces."
    return f"{problem}. Check quotes, brackets and the indentation of this line and the one above."


def _refuse_repeated_keys(path: Path, root: yaml.Node | None) -> None:
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        marks: dict[tuple[str, str], yaml.Mark] = {}
        for key, value in node.value:
            pending.append(value)
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            here, first = key.start_mark, marks.setdefault((key.tag, key.value), key.start_mark)
            if first is not here:
                raise HeirloomError(
                    f"{path}, line {here.line + 1}, column {here.column + 1}: the key "
                    f"{key.value!r} is in line {first.line + 1} already, and only one of the two "
                    "would count. Join them, or remove one."
                )
