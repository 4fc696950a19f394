"""Put this study's changes and settings beside those of others."""

from pathlib import Path

from heirloom.analyse import tables
from heirloom.analyse.tables.studies import read, studies, study_settings
from heirloom.support.job import start_job

start_job(snakemake.log[0], "studies")
folders = {
    study: Path(changes).parent
    for study, changes in zip(snakemake.params.studies, snakemake.input.changes, strict=True)
}
tables.write(studies(read(folders, "changes")), snakemake.output.studies)
tables.write(study_settings(read(folders, "settings")), snakemake.output.study_settings)
