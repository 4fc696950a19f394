"""Fetch a model and bring it into the form that every stage loads."""

from pydantic import TypeAdapter

from heirloom.fetch.cache import cache_root, content_sha256
from heirloom.fetch.downloads import fetch
from heirloom.fetch.gguf import prepare_model
from heirloom.fetch.notes import write_note
from heirloom.fetch.settings import Source
from heirloom.generate import client as endpoints
from heirloom.support import log
from heirloom.support.files import write_json

name = snakemake.wildcards.artefact
log.setup(snakemake.log[0], f"fetch {name}")
if snakemake.params.endpoint:
    endpoint = endpoints.Endpoint(**snakemake.params.endpoint)
    write_json(snakemake.output[0], endpoints.note(name, endpoint))
else:
    sources = TypeAdapter(list[Source]).validate_python(snakemake.params.sources)
    artefact = fetch(sources, name=name, cache=cache_root())
    trusted = snakemake.params.trust_remote_code
    folder = prepare_model(artefact, name=name, cache=cache_root(), trust_remote_code=trusted)
    write_note(
        snakemake.output[0],
        name=name,
        location=folder,
        checksum=content_sha256(artefact),
        trust_remote_code=trusted,
    )
