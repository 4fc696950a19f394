"""Write the plan of the study."""

from heirloom.support.files import write_json
from heirloom.support.job import start_job

start_job(snakemake.log[0], "plan")
write_json(snakemake.output[0], snakemake.params.plan)
