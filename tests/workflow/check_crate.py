"""Check an RO-Crate with tools that are not ours; runs in .venv-checks, see the Makefile.

    .venv-checks/bin/python tests/workflow/check_crate.py FOLDER

Prints as JSON what rocrate-validator found, by severity, and what ro-crate-py read.
"""

import json
import sys
import tempfile
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests_cache import CachedSession
from rocrate.rocrate import ROCrate
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.services import validate
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


class Carried(BaseAdapter):
    """Answers with the context of RO-Crate 1.1, which ro-crate-py carries."""

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        body = BytesIO((files("rocrate") / "data/ro-crate.jsonld").read_bytes())
        headers = {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(body, headers, status=200, preload_content=False)
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass


def fill_cache(path: Path) -> None:
    """Put the context where the validator looks when it may not ask a network."""
    session = CachedSession(str(path))
    session.mount("https://", Carried())
    session.get(CONTEXT).raise_for_status()
    session.close()


def main(folder: str) -> None:
    """Validate and read the crate in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "http"
        fill_cache(cache)
        result = validate(
            ValidationSettings(
                rocrate_uri=folder,
                profile_identifier="workflow-run-crate",
                requirement_severity=Severity.RECOMMENDED,
                offline=True,
                cache_path=str(cache),
            )
        )
    issues = [
        [issue.severity.name, issue.check.identifier, issue.message or ""]
        for issue in result.get_issues(Severity.RECOMMENDED)
    ]
    crate = ROCrate(folder)
    print(
        json.dumps(
            {
                "issues": issues,
                "name": crate.root_dataset["name"],
                "workflow": crate.mainEntity.id,
                "n_entities": len(crate.get_entities()),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
