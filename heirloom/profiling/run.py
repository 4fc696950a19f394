"""Run benchmarks on one model and write profiles and records."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from heirloom.fetch.notes import by_name, locate
from heirloom.generate.completions import identity
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Prompt
from heirloom.objectives import ScoreFunction, load
from heirloom.objectives.data_files import with_paths
from heirloom.objectives.scoring import bind
from heirloom.profiling import BENCHMARKS, Benchmark, Options, Task
from heirloom.profiling.assignment import Assignment, Subject, open_subject
from heirloom.profiling.known import UNKNOWN, Known
from heirloom.profiling.metrics import Metric, summarise
from heirloom.profiling.profile import Profile, values_of
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, read_jsonl, sha256, write_json, write_jsonl
from heirloom.support.tracking import track_values

logger = logging.getLogger(__name__)


def profile_model(
    subject: Subject,
    assignments: Sequence[Assignment],
    outputs: Sequence[Sequence[str | Path]],
    *,
    data_notes: Sequence[str | Path],
    seed: int,
    work: str | Path,
    known: Known = UNKNOWN,
) -> list[str]:
    """Run every benchmark on a model, loaded once if at all, and write profiles and records.

    Args:
        subject: The model.
        assignments: The benchmarks.
        outputs: Per benchmark the file of the profile, that of the records, and those of its
            further files (`Benchmark.files`).
        data_notes: The fetch stage's notes on all data that the benchmarks and scorers name.
        seed: Seed of the study.
        work: Folder in which an interrupted job resumes; a benchmark has a folder of its own in it.
        known: Profiles that were measured before.

    Returns:
        The benchmarks whose profiles were.

    Raises:
        HeirloomError: The model cannot be loaded, or a benchmark cannot run; see there.
    """
    model: LanguageModel | RemoteModel | None = None
    checksum = read_json(subject.note)["sha256"]
    notes = by_name(data_notes)
    reused = []
    for assignment, files in zip(assignments, outputs, strict=True):
        identity = known.identity(subject, assignment, notes, seed)
        if known.fetch(identity, subject, assignment, files):
            reused.append(assignment.name)
            continue
        model = model or open_subject(subject)
        profile, records = run(
            assignment,
            model,
            checksum=checksum,
            notes=notes,
            seed=seed,
            work=work,
            files=files[2:],
        )
        write_jsonl(files[1], records)
        profile.write(files[0])
        known.keep(identity, assignment, files)
    track_values(f"{subject.name} profile", values_of(files[0] for files in outputs))
    return reused


def outputs_of(
    assignments: Sequence[Assignment],
    summaries: Sequence[str],
    records: Sequence[str],
    further: Sequence[str],
) -> list[list[str]]:
    """Return the files that each benchmark writes, see `profile_model`.

    Args:
        assignments: The benchmarks.
        summaries: The profile of each.
        records: The records of each.
        further: The further files of all, in the order of the benchmarks.
    """
    rest = iter(further)
    return [
        [summary, file, *islice(rest, len(BENCHMARKS.get(assignment.name).files))]
        for assignment, summary, file in zip(assignments, summaries, records, strict=True)
    ]


def run(
    assignment: Assignment,
    model: LanguageModel | RemoteModel,
    *,
    checksum: str,
    notes: Mapping[str, str | Path],
    seed: int,
    work: str | Path,
    files: Sequence[str | Path] = (),
) -> tuple[Profile, list[Record]]:
    """Run one benchmark.

    Args:
        assignment: The benchmark.
        model: The model.
        checksum: SHA-256 of the model, or of a student's base.
        notes: Data set to the fetch stage's note on it.
        seed: Seed of the study.
        work: Folder in which an interrupted run resumes.
        files: Places of its further files (`Benchmark.files`); none: they are not written.

    Returns:
        The profile, and the records that it follows from. A model that cannot do what the benchmark
        needs has neither metrics nor records; the profile says why.

    Raises:
        HeirloomError: The options are not the benchmark's, or it cannot run.
    """
    benchmark = BENCHMARKS.get(assignment.name)
    logger.info("%s: %s", benchmark.name, benchmark.summary)
    options = _options(benchmark, assignment)
    reason = _reason(model, options, assignment.format)
    records = []
    if isinstance(model, LanguageModel):
        model.notes.clear()  # those of another benchmark
    further = dict(zip(benchmark.files, map(Path, files), strict=False))
    if reason is None:
        task = replace(_task(assignment, model, notes, seed, Path(work)), files=further)
        records = benchmark.run(task, options)
    for file in further.values() if reason else ():
        write_json(file, {"not_applicable": reason})
    packages = ("torch", "transformers", "peft", *benchmark.packages)
    return Profile(
        benchmark=benchmark.name,
        model=model.name,
        seed=seed,
        metrics={} if reason else summarise(records, _measures(assignment, options), seed=seed),
        settings={**assignment.options, "scorer": assignment.scorer, "scorers": assignment.scorers},
        revisions={
            "model": checksum,
            "adapter": model.adapter_sha256,
            "dtype": _dtype(model),
            "generation": identity(model) if options.generates else None,
            "data": {name: read_json(notes[name])["sha256"] for name in assignment.data},
        },
        versions={package: version(package) for package in packages},
        inputs={file: sha256(file) for file in assignment.inputs},
        notes=list(model.notes.values()) if isinstance(model, LanguageModel) else [],
        not_applicable=reason,
    ), records


def _measures(assignment: Assignment, options: Options) -> dict[str, Metric]:
    scorers = {name: load(scorer["function"]) for name, scorer in assignment.scorers.items()}
    return BENCHMARKS.get(assignment.name).measures(scorers, options)


def _options(benchmark: Benchmark, assignment: Assignment) -> Options:
    try:
        return benchmark.options.model_validate(assignment.options)
    except ValidationError as error:
        raise HeirloomError(f"profiling.{benchmark.name}: {error}") from None


def _reason(
    model: LanguageModel | RemoteModel, options: Options, format: Format | None
) -> str | None:
    """The reason why a benchmark is not applicable to a model; None if it is."""
    if not isinstance(model, RemoteModel):
        return None
    return model.cannot(generates=options.generates, format=format)


def _dtype(model: LanguageModel | RemoteModel) -> str | None:
    return None if isinstance(model, RemoteModel) else str(model.network.dtype)


def _task(
    assignment: Assignment,
    model: Any,
    notes: Mapping[str, str | Path],
    seed: int,
    work: Path,
) -> Task:
    prompts = read_jsonl(assignment.prompts) if assignment.prompts else []
    return Task(
        model=model,
        prompts=[Prompt(**record) for record in prompts],
        format=assignment.format or "instruction",
        scorer=_scorer(assignment.scorer, notes) if assignment.scorer else None,
        data={name: locate(notes[name]) for name in assignment.own_data},
        seed=seed,
        work=work / assignment.name,
        pairs=Path(assignment.pairs) if assignment.pairs else None,
        language=assignment.language,
        scorers={name: _scorer(metric, notes) for name, metric in assignment.scorers.items()},
    )


def _scorer(metric: Mapping[str, Any], notes: Mapping[str, str | Path]) -> ScoreFunction:
    function, options = metric["function"], metric["options"]
    return bind(function, with_paths(function, options, notes))
