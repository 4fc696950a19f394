"""Bases of adapters that the study file names by a folder, where it does not name the base."""

from collections.abc import Iterator
from pathlib import Path

from heirloom.fetch.adapter_folder import adapter_config, is_adapter
from heirloom.fetch.settings import HubSource, PathSource
from heirloom.generate.settings import Model
from heirloom.study.config import Study
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json


def with_bases(study: Study, root: Path) -> Study:
    """Return a study in which every adapter on this machine names its base.

    An adapter says by itself what it was trained on: a repository on the hub or a folder, in its
    configuration. The manifest that heirloom writes for a student has the checksum of its base.

    Args:
        study: The study, checked.
        root: Folder that relative paths in it start from.

    Raises:
        HeirloomError: No model of the study is the base of an adapter, or several are.
    """
    found: dict[str, Model] = {}
    for name, model in study.models.items():
        folder = None if model.base else _adapter(model, root)
        if folder is not None:
            base = _base(name, folder, study, root)
            found[name] = model.model_copy(update={"base": base})
    return study.model_copy(update={"models": {**study.models, **found}}) if found else study


def _adapter(model: Model, root: Path) -> Path | None:
    """Return the folder of the adapter that is the model's first source here, if it is one."""
    paths = [root / s.path.expanduser() for s in model.sources if isinstance(s, PathSource)]
    there = next((path for path in paths if path.exists()), None)
    if there is None or not there.is_dir():
        return None
    return there if is_adapter([path.name for path in there.iterdir()]) else None


def _base(name: str, adapter: Path, study: Study, root: Path) -> str:
    trained_on = adapter_config(adapter).get("base_model_name_or_path")
    manifest = adapter / "manifest.json"
    checksum = read_json(manifest).get("inputs", {}).get("base") if manifest.is_file() else None
    ids = {str(trained_on), str(checksum)}
    if trained_on:
        ids.add(str((root / trained_on).resolve()))
    others = {other: model for other, model in study.models.items() if other != name}
    bases = [other for other, model in others.items() if ids & set(_names(model, root))]
    if len(bases) != 1:
        reason = f"{' and '.join(bases)} of this study are" if bases else "no model of the study is"
        raise HeirloomError(
            f"models.{name}: {adapter} is an adapter of {trained_on or 'a model it does not name'}"
            f", which {reason}. Name the model that it was trained on: `base: NAME`."
        )
    return bases[0]


def _names(model: Model, root: Path) -> Iterator[str]:
    """Names that an adapter may give its base: repository, folder and checksum."""
    for source in model.sources:
        if isinstance(source, HubSource):
            yield source.hub
        if isinstance(source, PathSource):
            yield str((root / source.path.expanduser()).resolve())
        if source.sha256:
            yield source.sha256
