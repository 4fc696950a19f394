"""Profiles: what a benchmark measured of a model, as a file under `profiles/`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Profile:
    """The result of one benchmark for one model; the records that it follows from lie next to it.

    Attributes:
        benchmark: Name of the benchmark.
        model: Name of the model.
        seed: Seed of the study.
        metrics: Metric to {value, unit, direction, n, n_missing, interval}; see `summarise`.
        settings: Options of the benchmark, and the settings of the scorer that they name.
        revisions: Checksums of model, adapter and data, the dtype, and the generation back end.
        versions: Package to its version.
        inputs: Other input files, by path, to their SHA-256.
        notes: Ways in which the model was computed otherwise than usual, each with its reason.
        not_applicable: The reason why the model could not be measured; None if it was.
        schema_version: Version of the file's layout.
    """

    benchmark: str
    model: str
    seed: int
    metrics: dict[str, Record]
    settings: dict[str, Any]
    revisions: dict[str, Any]
    versions: dict[str, str]
    inputs: dict[str, str]
    notes: list[str] = field(default_factory=list)
    not_applicable: str | None = None
    schema_version: int = SCHEMA_VERSION

    def write(self, path: str | Path) -> None:
        """Write the profile as JSON; `notes` and `not_applicable` are left out where empty."""
        optional = {"notes": self.notes, "not_applicable": self.not_applicable}
        write_json(
            path,
            {
                "schema_version": self.schema_version,
                "benchmark": self.benchmark,
                "model": self.model,
                "seed": self.seed,
                "metrics": self.metrics,
                **{key: value for key, value in optional.items() if value},
                "settings": self.settings,
                "revisions": self.revisions,
                "versions": self.versions,
                "inputs": self.inputs,
            },
        )

    @classmethod
    def read(cls, path: str | Path) -> "Profile":
        """Read a profile.

        Raises:
            HeirloomError: The file is missing or no JSON, is a profile of another schema version,
                or lacks a field.
        """
        fields = read_json(path)
        found = fields.get("schema_version") if isinstance(fields, dict) else None
        if found != SCHEMA_VERSION:
            raise HeirloomError(
                f"{path} has schema version {found}, but this version of heirloom reads "
                f"{SCHEMA_VERSION}. Delete it and run the same command again: it is then measured "
                "anew."
            )
        try:
            return cls(**fields)
        except TypeError as error:
            raise HeirloomError(
                f"{path} is not a whole profile ({error}). Delete it and run the same command "
                "again: it is then measured anew."
            ) from None


def values_of(files: Iterable[str | Path]) -> dict[str, float]:
    """Return `benchmark/metric` to its value for these profiles; without those that are null."""
    return {
        f"{profile.benchmark}/{metric}": found["value"]
        for profile in map(Profile.read, files)
        for metric, found in profile.metrics.items()
        if found["value"] is not None
    }
