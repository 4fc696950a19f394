"""Finetune one student."""

from pathlib import Path

from heirloom.support.job import start_job

files, params, machine = snakemake.input, snakemake.params, snakemake.resources
start_job(snakemake.log[0], f"finetune {snakemake.wildcards.student}", gpus=machine.get("gpu", 0))

from heirloom.finetune.launch import Base, Hardware, finetune_student
from heirloom.finetune.settings import Run

manifest, train = Path(snakemake.output.manifest), Path(files.train)
base, run = Base.read(Path(files.base), params.template), Run.read(params.run)
launch = Path(config) if (config := machine.get("accelerate")) else None
hardware = Hardware(max(1, machine.get("gpu", 1)), launch)
work = Path(params.work)
finetune_student(manifest, base, train, params.format, run, work=work, hardware=hardware)
