"""Fetch a file of prompts."""

from pydantic import TypeAdapter

from heirloom import log
from heirloom.sources import Source, cache_root, content_sha256, fetch, write_note

name = snakemake.wildcards.prompts
log.setup(snakemake.log[0], f"fetch {name}")
sources = TypeAdapter(list[Source]).validate_python(snakemake.params.sources)
file = fetch(sources, name=name, cache=cache_root())
write_note(snakemake.output[0], name=name, location=file, checksum=content_sha256(file))
