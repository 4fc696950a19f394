"""Finetune one student."""

from pathlib import Path

from heirloom.support.job import start_job

given, params, machine = snakemake.input, snakemake.params, snakemake.resources
start_job(snakemake.log[0], f"finetune {snakemake.wildcards.student}", gpus=machine.get("gpu", 0))

from heirloom.fetch.cache import result_store
from heirloom.finetune.settings import Run
from heirloom.finetune.student import Student, finetune_student
from heirloom.support.result_store import note_reuse

files = Path(snakemake.output.manifest), Path(given.base), params.template, Path(given.train)
student = Student(*files, params.format, Run.read(params.run), given.modules)
launch = Path(config) if (config := machine.get("accelerate")) else None
options = {"processes": max(1, machine.get("gpu", 1)), "launch": launch, "work": Path(params.work)}
reused = finetune_student(student, store=result_store("students"), **options)
note_reuse(params.reused, [student.manifest.parent.name] if reused else [])
