"""A store that hangs, breaks off, drips, lies or dies, as a proxy in front of SeaweedFS; and uploads that it confirms."""

import hashlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from photoqual.config import BucketSource, PhotosParams
from photoqual.errors import SourceError
from photoqual.sources import _objects, _s3
from photoqual.sources.bucket import Bucket
from photoqual.sources.records import Fetched, Skipped
from tests.conftest import encoded, scene
from tests.object_store import ObjectStore, object_store

PHOTO = encoded(scene(1))
DRIP_SECONDS = 0.05


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.fixture
def store(running: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store, its keys in the environment, and short pauses before it is asked again."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_objects, "_PAUSE_SECONDS", 0.01)
    return running


def bucket(store: ObjectStore, name: str, keys: list[str]) -> None:
    client = store.owner
    client.create_bucket(Bucket=name)
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=PHOTO)


def harvest(name: str, endpoint: str) -> list[Fetched | Skipped]:
    source = Bucket(
        BucketSource(bucket=name, endpoint_url=endpoint, concurrency=4), PhotosParams(max_megabytes=0.1), Path()
    )
    return list(source.harvest({}))


class Between(BaseHTTPRequestHandler):
    """Passes everything on to the store, except for keys that name a way to misbehave."""

    protocol_version = "HTTP/1.1"
    store: str
    everything: Callable[["Between"], None] | None
    asked: Counter[str]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.asked[path] += 1
        way = WAYS.get(path.rpartition("/")[2].removesuffix(".jpg"))
        if self.everything and path.count("/") > 1:
            self.everything(self)
        elif way:
            way(self)
        else:
            self.passed_on()

    def passed_on(self) -> None:
        connection = http.client.HTTPConnection(self.store)
        connection.putrequest("GET", self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        data = answer.read()
        self.answered(data, status=answer.status, etag=answer.headers.get("ETag", ""))

    def answered(self, data: bytes, *, status: int = 200, length: int | None = None, etag: str = '"e"') -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def cut(between: Between) -> None:
    between.answered(PHOTO[:100], length=len(PHOTO))
    between.close_connection = True


def once(between: Between) -> None:
    between.passed_on() if between.asked[urlsplit(between.path).path] > 1 else cut(between)


def silent(between: Between) -> None:
    between.connection.settimeout(60)
    between.connection.recv(1)
    between.close_connection = True


def dripping(between: Between) -> None:
    between.answered(b"", length=len(PHOTO))
    for byte in PHOTO:
        between.wfile.write(bytes([byte]))
        time.sleep(DRIP_SECONDS)


def endless(between: Between) -> None:
    between.send_response(200)
    between.send_header("Transfer-Encoding", "chunked")
    between.end_headers()
    while True:
        between.wfile.write(b"4000\r\n" + b"." * 0x4000 + b"\r\n")


def gone(between: Between) -> None:
    between.close_connection = True


def moved(between: Between) -> None:
    between.send_response(302)
    between.send_header("Location", "http://169.254.169.254/latest/meta-data/")
    between.send_header("Content-Length", "0")
    between.end_headers()


def busy(between: Between) -> None:
    between.answered(b"<Error><Code>SlowDown</Code></Error>", status=503)


def archived(between: Between) -> None:
    between.answered(b"<Error><Code>InvalidObjectState</Code></Error>", status=403)


WAYS = {way.__name__: way for way in (cut, once, silent, dripping, endless, gone, moved, busy, archived)}


@contextmanager
def between(
    store: ObjectStore, everything: Callable[[Between], None] | None = None
) -> Iterator[tuple[str, Counter[str]]]:
    """Run the proxy; yield its address and how often each path was asked for. `everything`: how it answers for any key."""

    class Handler(Between):
        pass

    Handler.asked = Counter()
    Handler.store, Handler.everything = urlsplit(store.endpoint_url).netloc, everything and staticmethod(everything)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Handler.asked
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()


def test_what_a_bad_store_does_to_one_object_is_counted_and_the_others_are_kept(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3, "READ_SECONDS", 4.0)
    monkeypatch.setattr(_s3, "ATTEMPTS", 2)
    monkeypatch.setattr(_objects, "PATIENCE_SECONDS", 4.0)
    monkeypatch.setattr(_objects, "SLOWEST", 1e9)
    keys = [f"{letter}/{way}.jpg" for letter, way in zip("abcdefghi", WAYS, strict=True)]
    bucket(store, "hostile", [*keys, "a/1.jpg", "z/2.jpg"])
    with between(store) as (endpoint, asked):
        began = time.monotonic()
        events = harvest("hostile", endpoint)
        assert time.monotonic() - began < len(PHOTO) * DRIP_SECONDS
    found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
    assert {key: event.data == PHOTO for key, event in found.items()} == {
        "a/1.jpg": True,
        "b/once.jpg": True,
        "z/2.jpg": True,
        "e/endless.jpg": False,
    }
    assert found["e/endless.jpg"].refused == "too_many_bytes"
    assert {event.where.rpartition("/")[2]: event.reason for event in events if isinstance(event, Skipped)} == {
        "cut.jpg": "broken_off",
        "silent.jpg": "unreachable",
        "dripping.jpg": "too_slow",
        "gone.jpg": "unreachable",
        "moved.jpg": "http_302",
        "busy.jpg": "server_error",
        "archived.jpg": "archived",
    }
    assert asked["/hostile/a/cut.jpg"] == asked["/hostile/h/busy.jpg"] == _s3.ATTEMPTS
    assert asked["/hostile/d/dripping.jpg"] == asked["/hostile/g/moved.jpg"] == 1


def test_a_store_that_dies_ends_the_harvest_soon_and_what_came_is_kept(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3, "ATTEMPTS", 2)
    bucket(store, "dying", [f"{number:03d}.jpg" for number in range(60)])
    ways = iter([Between.passed_on] * 10)
    came = []

    def dying(handler: Between) -> None:
        next(ways, busy)(handler)

    with between(store, dying) as (endpoint, asked):
        source = Bucket(BucketSource(bucket="dying", endpoint_url=endpoint, concurrency=1), PhotosParams(), Path())
        with pytest.raises(
            SourceError, match=r"failed 20 times in a row \(server_error\), last at s3://dying/029\.jpg"
        ):
            came.extend(source.harvest({}))
        assert sum(isinstance(event, Fetched) for event in came) == 10
        assert sum(asked.values()) < 1 + 10 + 2 * 25


@pytest.mark.parametrize(
    "body",
    [b"<html><body><p>Welcome</p></body></html>", b"<!doctype html><p>Welcome<br>", b"{}", b""],
    ids=["XHTML", "HTML", "JSON", "nothing"],
)
@pytest.mark.parametrize("status", [200, 404])
def test_a_server_that_is_no_store_says_so(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, body: bytes, status: int
) -> None:
    monkeypatch.setattr(_s3, "ATTEMPTS", 1)

    def no_store(handler: Between) -> None:
        handler.answered(body, status=status)

    with (
        between(store, no_store) as (endpoint, _),
        pytest.raises(SourceError, match=r"(?s)does not answer as an S3 store.*`endpoint_url`"),
    ):
        harvest("anything", f"{endpoint}/deeper")


def test_the_right_to_list_alone_is_told(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket(store, "listed", ["1.jpg", "2.jpg"])
    for name, value in zip(store.environment, store.lister, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(SourceError, match=r"may list the bucket but not read it: 2 objects.*s3:GetObject"):
        harvest("listed", store.endpoint_url)


def test_keys_of_an_airflow_connection_open_the_bucket(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket(store, "connected", ["1.jpg"])
    for name in store.environment:
        monkeypatch.delenv(name)
    host = urlsplit(store.endpoint_url).netloc
    monkeypatch.setenv(
        "AIRFLOW_CONN_OUR_STORE", f"aws://{store.access_key}:{store.secret_key}@/?endpoint_url=http://{host}"
    )
    source = Bucket(BucketSource(bucket="connected", connection="our_store"), PhotosParams(), Path())
    assert [event.data for event in source.harvest({}) if isinstance(event, Fetched)] == [PHOTO]


@pytest.mark.parametrize("size", [0, 1000, _s3.MULTIPART_ABOVE, _s3.MULTIPART_ABOVE + 1])
def test_an_upload_is_whole_confirmed_and_done_once(store: ObjectStore, size: int) -> None:
    client, owner = _s3.client(store.endpoint_url, None, None), store.owner
    name = f"mirror-{size}"
    owner.create_bucket(Bucket=name)
    data = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    digest = hashlib.sha256(data).hexdigest()
    assert _s3.put(client, name, "a b/é.jpg", data, digest)
    assert not _s3.put(client, name, "a b/é.jpg", data, digest)
    found = owner.get_object(Bucket=name, Key="a b/é.jpg")
    assert found["Body"].read() == data
    assert (found["ContentType"], found["Metadata"]) == ("image/jpeg", {"sha256": digest})
    other = b"y" * size + b"z"
    assert _s3.put(client, name, "a b/é.jpg", other, hashlib.sha256(other).hexdigest())
    assert owner.get_object(Bucket=name, Key="a b/é.jpg")["Body"].read() == other
    assert "Uploads" not in owner.list_multipart_uploads(Bucket=name)


def test_bytes_that_another_tool_put_there_are_not_sent_again(store: ObjectStore) -> None:
    client, owner = _s3.client(store.endpoint_url, None, None), store.owner
    owner.create_bucket(Bucket="theirs")
    owner.put_object(Bucket="theirs", Key="1.jpg", Body=PHOTO, ChecksumAlgorithm="SHA256")
    assert not _s3.put(client, "theirs", "1.jpg", PHOTO, hashlib.sha256(PHOTO).hexdigest())


def test_an_upload_that_goes_wrong_says_so(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(PHOTO).hexdigest()
    client = _s3.client(store.endpoint_url, None, None)
    with pytest.raises(SourceError, match="not those of their checksum"):
        _s3.put(client, "nowhere", "1.jpg", PHOTO + b"x", digest)
    with pytest.raises(SourceError, match="no bucket nowhere"):
        _s3.put(client, "nowhere", "1.jpg", PHOTO, digest)
    for name, value in zip(store.environment, store.reader, strict=True):
        monkeypatch.setenv(name, value)
    store.owner.create_bucket(Bucket="read-only")
    with pytest.raises(SourceError, match=r"right to bucket read-only.*s3:PutObject"):
        _s3.put(_s3.client(store.endpoint_url, None, None), "read-only", "1.jpg", PHOTO, digest)
