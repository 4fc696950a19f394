"""Write one student as a whole model."""

from pathlib import Path

from heirloom.support.job import start_job

given, made, params = snakemake.input, snakemake.output, snakemake.params
name, gpus = snakemake.wildcards.student, snakemake.resources.get("gpu", 0)
start_job(snakemake.log[0], f"export {name}", gpus=gpus)

from heirloom.publish.export import Student, export_student

files = Path(given.base), params.template, Path(given.weights).parent, Path(given.prompts)
merged, gguf = made.get("merged"), made.get("gguf")
forms = {"merged": merged and Path(merged).parent, "gguf": gguf and Path(gguf)}
student = Student(name, *files, params.format)
export_student(student, Path(made.manifest), outtype=params.outtype, **forms)
