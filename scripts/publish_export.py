"""Write one student as a whole model."""

from pathlib import Path

from heirloom.support.job import start_job

given, made, params = snakemake.input, snakemake.output, snakemake.params
name = snakemake.wildcards.student
start_job(snakemake.log[0], f"export {name}", gpus=snakemake.resources.get("gpu", 0))

from heirloom.publish.export import Student, export_student

files = Path(given.base), params.template, Path(given.weights).parent, Path(given.prompts)
merged, gguf = made.get("merged"), made.get("gguf")
export_student(
    Student(name, *files, params.format),
    Path(made.manifest),
    merged=Path(merged).parent if merged else None,
    gguf=Path(gguf) if gguf else None,
    outtype=params.outtype,
)
