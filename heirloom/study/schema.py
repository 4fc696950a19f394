"""Generate the schema and the manual's tables from the study file's classes.

Run as `python -m heirloom.study.schema` (`make docs`). A test fails when they drift.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heirloom.study.config import study_type
from heirloom.study.manual import TABLES
from heirloom.support.files import write_text

SCHEMA = Path("config/schema.json")
MANUAL = Path("config/README.md")
_KEYS = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_REGISTRY = re.compile(rf"(<!-- ({'|'.join(TABLES)}) -->\n).*?(<!-- end -->)", re.DOTALL)


def schema_text() -> str:
    """Return the study file's JSON schema, which editors use to complete and check it."""
    return json.dumps(study_type().model_json_schema(), indent=2) + "\n"


def manual_text(manual: str) -> str:
    """Return the manual, its tables after `<!-- keys: Class -->` and `<!-- kind -->` updated."""
    sections = {section.__name__: section for section in _sections(study_type())}

    def keys(match: re.Match[str]) -> str:
        return match[1] + _table(sections[match[2]]) + match[3]

    def registered(match: re.Match[str]) -> str:
        return match[1] + TABLES[match[2]]() + match[3]

    return _REGISTRY.sub(registered, _KEYS.sub(keys, manual))


def _sections(section: type[BaseModel]) -> list[type[BaseModel]]:
    """A section and those below it, each once."""
    found = {section.__name__: section}
    for field in section.model_fields.values():
        for part in _models_in(field.annotation):
            found.update({s.__name__: s for s in _sections(part)})
    return list(found.values())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]


def _table(section: type[BaseModel]) -> str:
    """A Markdown table of a section's keys."""
    properties = section.model_json_schema(mode="validation")["properties"]
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        default = "required" if field.is_required() else _default(field)
        kind = _type(properties[name])
        lines.append(f"| `{name}` | {kind} | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:  # it depends on other keys
        return "see meaning"
    value = field.get_default()
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{json.dumps(value)}`"


def _type(schema: dict[str, Any]) -> str:
    """A type in words, with its bounds."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "anyOf" in schema:
        kinds = [_type(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in schema:
        return "section"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    if kind == "object":
        return "section"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "yes/no"}
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    return " ".join([names.get(kind, kind), *bounds])


if __name__ == "__main__":
    write_text(SCHEMA, schema_text())
    write_text(MANUAL, manual_text(MANUAL.read_text(encoding="utf-8")))
