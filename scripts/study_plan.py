"""Write down what the study consists of."""

from heirloom.support import log
from heirloom.support.files import write_json

log.setup(snakemake.log[0], "plan")
write_json(snakemake.output[0], snakemake.params.plan)
