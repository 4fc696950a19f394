"""Licences of training sets and students, combined from those of what they are made from."""

from collections.abc import Iterable, Mapping

from heirloom.study.config import Study
from heirloom.study.plan import Model
from heirloom.support.files import Record

#: Licence to what it says about outputs, and about models that are trained on them.
_TERMS = {
    "gemma": "The Gemma terms of use count a model that is trained on Gemma's outputs to perform "
    "like it among its model derivatives; they do not count the outputs themselves.",
    "llama2": "The Llama 2 licence forbids using its outputs to improve any other large language "
    "model.",
}


def combined_license(licenses: Iterable[str | None]) -> Record:
    """Return the licence keys of a card's front matter for a work with these component licences.

    A licence that all components share is the licence of the whole. Where they differ, no single
    licence covers the whole: the result is "other", with a name that joins all of them. Where one
    is unknown (None), nothing is claimed: the result is empty.
    """
    found = set(licenses)
    if not found or None in found:
        return {}
    names = sorted(name for name in found if name)
    if len(names) == 1:
        return {"license": names[0]}
    return {"license": "other", "license_name": "-and-".join(names)}


def dataset_licenses(study: Study, card: Record) -> dict[str, str | None]:
    """Return component to licence for a training set: its prompts and each teacher's completions.

    Args:
        study: The study file.
        card: The training set's card.json. A teacher that none of its completions come from is
            left out.
    """
    prompts = card["prompts"]
    components = {f"prompts `{prompts}`": study.prompts[prompts].license}
    for teacher, n in card["teacher_counts"].items():
        if n:
            components |= _model_licenses(study, teacher, f"completions of `{teacher}`")
    return components


def student_licenses(study: Study, student: Model, card: Record) -> dict[str, str | None]:
    """Return component to licence for a student: its base and everything in its training set."""
    base = student.artefact
    return {**_model_licenses(study, base, f"base `{base}`"), **dataset_licenses(study, card)}


def _model_licenses(study: Study, name: str, component: str) -> dict[str, str | None]:
    """Licence of a model and, of an adapter, of the models that it is merged into."""
    model = study.models[name]
    below = _model_licenses(study, model.base, f"base `{model.base}`") if model.base else {}
    return {component: model.license, **below}


def terms(licenses: Mapping[str, str | None]) -> list[str]:
    """Return a sentence per licence that restricts outputs or models trained on them."""
    return [sentence for name, sentence in _TERMS.items() if name in licenses.values()]
