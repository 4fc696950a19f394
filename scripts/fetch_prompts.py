"""Fetch a file of prompts."""

from pydantic import TypeAdapter

from heirloom import log
from heirloom.files import write_json
from heirloom.sources import Source, cache_root, content_sha256, fetch

name = snakemake.wildcards.prompts
log.setup(snakemake.log[0], f"fetch {name}")
sources = TypeAdapter(list[Source]).validate_python(snakemake.params.sources)
file = fetch(sources, name=name, cache=cache_root())
write_json(
    snakemake.output[0],
    {"name": name, "file": str(file.resolve()), "sha256": content_sha256(file)},
)
