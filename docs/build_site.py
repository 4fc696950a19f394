"""Build the documentation as a site in site/, from the Markdown of the repository.

    python -m docs.build_site    (make site)

The pages keep their places, so their links to each other hold; files that they link to and that
are no pages (code, study files, pictures) are copied beside them. Nothing is downloaded, and the
site needs no network: open site/index.html. Its search works where the folder is served, as by
`python -m http.server -d site`.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "docs/site.toml"
SITE = ROOT / "site"
ZENSICAL = ROOT / ".venv-site/bin/zensical"
_LINK = re.compile(
    r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\""
)
_CODE = re.compile(r"^```[^\n]*\n.*?^```$|`[^`\n]+`|^ {4,}\S[^\n]*$", re.MULTILINE | re.DOTALL)


def links(markdown: str) -> Iterator[str]:
    """Targets of links and pictures, code left out."""
    for found in _LINK.finditer(_CODE.sub("", markdown)):
        yield found[1] or found[2]


def linked_file(page: Path, link: str) -> Path | None:
    """File or folder of the repository that a link leads to; None for an address on the web.

    Raises:
        FileNotFoundError: There is none.
    """
    path, _, _ = link.partition("#")
    if re.match(r"[a-z]+:", link) or not path:
        return None
    target = (page.parent / path).resolve()
    if not target.exists():
        raise FileNotFoundError(f"{page.relative_to(ROOT)}: the link {link} leads nowhere")
    return target


def pages() -> list[Path]:
    """The pages that the navigation lists, in its order."""
    nav = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["project"]["nav"]
    return [ROOT / name for name in _names(nav)]


def _names(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _names(entry)


def lay_out(folder: Path) -> None:
    """Copy the pages, and the files that they link to, into `folder` under their own paths."""
    listed = pages()
    wanted = {*listed, ROOT / "docs/site.css"}
    for page in listed:
        found = [linked_file(page, link) for link in links(page.read_text(encoding="utf-8"))]
        wanted |= {file for file in found if file is not None and file.is_file()}
    for file in wanted:
        copy = folder / PurePosixPath(file.relative_to(ROOT).as_posix())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def build(site: Path = SITE, zensical: Path = ZENSICAL) -> None:
    """Build the site; an existing one is replaced.

    Raises:
        subprocess.CalledProcessError: zensical failed, or warned.
    """
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder) / "pages")
        shutil.copyfile(SETTINGS, Path(folder) / "zensical.toml")
        command = [zensical, "build", "--clean", "--strict"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(Path(folder) / "site", site)


if __name__ == "__main__":
    if not ZENSICAL.exists():
        sys.exit(f"{ZENSICAL} is not there. Run: make site")
    build()
    print(f"The site is {SITE / 'index.html'}")
