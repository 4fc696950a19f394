"""Write all candidates of the study, with their scores, as one table."""

from pathlib import Path

from heirloom.analyse.candidates import write_candidates
from heirloom.support.job import start_job

start_job(snakemake.log[0], "candidates")
write_candidates(Path(snakemake.input.plan).parent)
