"""Fetch a file of prompts."""

from pydantic import TypeAdapter

from heirloom.fetch.cache import cache_root, content_sha256
from heirloom.fetch.downloads import fetch
from heirloom.fetch.notes import write_note
from heirloom.fetch.settings import Source
from heirloom.support import log

name = snakemake.wildcards.prompts
log.setup(snakemake.log[0], f"fetch {name}")
sources = TypeAdapter(list[Source]).validate_python(snakemake.params.sources)
file = fetch(sources, name=name, cache=cache_root())
write_note(snakemake.output[0], name=name, location=file, checksum=content_sha256(file))
