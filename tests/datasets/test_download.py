import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dfl_sklearn.datasets import get_data_home
from dfl_sklearn.datasets._download import RemoteFile, fetch_file

CONTENT = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1,2\n"


@pytest.fixture
def server(monkeypatch):
    """A server on this machine: /good.csv, /corrupt.csv, /cut.csv, and 404 elsewhere."""
    requested = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            body = {"/good.csv": CONTENT, "/corrupt.csv": b"x" + CONTENT, "/cut.csv": CONTENT}
            if self.path not in body:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body[self.path])))
            self.end_headers()
            self.wfile.write(body[self.path][: 10 if self.path == "/cut.csv" else None])

        def log_message(self, *args):
            pass

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", requested
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def remote(url):
    return RemoteFile("trace.csv", url, hashlib.sha256(CONTENT).hexdigest())


def test_download_then_cache(server, tmp_path):
    pytest.importorskip("pooch")
    address, requested = server
    folder = tmp_path / "home" / "azure_llm"
    for _ in range(2):
        path = fetch_file(remote(f"{address}/good.csv"), folder, download_if_missing=True)
        assert path == folder / "trace.csv"
        assert path.read_bytes() == CONTENT
    assert requested == ["/good.csv"]
    assert [p.name for p in folder.iterdir()] == ["trace.csv"]


@pytest.mark.parametrize("page", ["corrupt.csv", "cut.csv", "gone.csv"])
def test_failed_download_leaves_nothing_and_says_what_to_do(server, tmp_path, page):
    pytest.importorskip("pooch")
    url = f"{server[0]}/{page}"
    with pytest.raises(OSError, match="Could not download") as info:
        fetch_file(remote(url), tmp_path, download_if_missing=True)
    message = str(info.value)
    assert url in message
    assert str(tmp_path / "trace.csv") in message
    assert remote(url).sha256 in message
    assert "by hand" in message
    if page == "corrupt.csv":
        assert hashlib.sha256(b"x" + CONTENT).hexdigest() in message
    assert list(tmp_path.iterdir()) == []


def test_no_network(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    import requests

    class Unplugged:
        def __init__(self, **kwargs):
            pass

        def __call__(self, url, output_file, pooch):
            Path(output_file).write_bytes(CONTENT[:10])
            raise requests.exceptions.ConnectionError("Name or service not known")

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *a, **k: Unplugged())
    with pytest.raises(OSError, match=r"by hand.*Name or service not known"):
        fetch_file(remote("https://example.org/t.csv"), tmp_path, download_if_missing=True)
    assert list(tmp_path.iterdir()) == []


def test_corrupt_cache_is_an_error_and_is_kept(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_bytes(CONTENT + b"more")
    file = remote("https://example.org/t.csv")
    with pytest.raises(OSError, match="not the published file") as info:
        fetch_file(file, tmp_path, download_if_missing=True)
    found = hashlib.sha256(CONTENT + b"more").hexdigest()
    for word in (str(path), file.sha256, found, file.url, "Delete it"):
        assert word in str(info.value)
    assert path.read_bytes() == CONTENT + b"more"


def test_missing_file_without_download(tmp_path):
    folder = tmp_path / "home"
    with pytest.raises(OSError, match="download_if_missing=False") as info:
        fetch_file(remote("https://example.org/t.csv"), folder, download_if_missing=False)
    assert "https://example.org/t.csv" in str(info.value)
    assert str(folder / "trace.csv") in str(info.value)
    assert not folder.exists()


def test_pooch_is_needed_only_for_a_download(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    file = remote("https://example.org/t.csv")
    with pytest.raises(ImportError, match=r'pip install "dfl-sklearn\[datasets\]"'):
        fetch_file(file, tmp_path, download_if_missing=True)
    (tmp_path / "trace.csv").write_bytes(CONTENT)
    assert fetch_file(file, tmp_path, download_if_missing=True).exists()


def test_data_home_order_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("DFL_SKLEARN_DATA", str(tmp_path / "env"))
    assert get_data_home(tmp_path / "arg") == str(tmp_path / "arg")
    assert get_data_home("~/arg") == str(tmp_path / "arg")
    assert get_data_home() == str(tmp_path / "env")
    monkeypatch.setenv("DFL_SKLEARN_DATA", "")
    assert get_data_home() == str(tmp_path / "dfl_sklearn_data")
    monkeypatch.delenv("DFL_SKLEARN_DATA")
    assert get_data_home() == str(tmp_path / "dfl_sklearn_data")
    assert list(tmp_path.iterdir()) == []
