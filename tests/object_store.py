"""An S3 store for tests: SeaweedFS on free ports of loopback, with one pair of keys. It ends with its block, or with us."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from photoqual.embedded.guard import descendants
from photoqual.embedded.home import guarded
from tests.servers import free_port

_START_SECONDS = 120
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_OPTIONS = (
    "-s3.port.lance=0",  # else a port that all stores share
    "-s3",
    "-master.telemetry=false",
    "-master.volumeSizeLimitMB=64",
    "-volume.max=200",
    "-s3.autoCreateBucket=false",
    "-s3.port.iceberg=0",
)


@dataclass(frozen=True)
class ObjectStore:
    """A running store. Of the others that it knows, each with key and secret, `reader` may list and read,
    `lister` only list, `stranger` nothing.
    """

    endpoint_url: str
    access_key: str = "tester"
    secret_key: str = field(default="secret-of-the-tester", repr=False)
    reader: tuple[str, str] = ("reader", "secret-of-the-reader")
    lister: tuple[str, str] = ("lister", "secret-of-the-lister")
    stranger: tuple[str, str] = ("stranger", "secret-of-the-stranger")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that let boto3 in."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    @cached_property
    def owner(self) -> Any:
        """A client that may do everything."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=32),
        )


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run SeaweedFS with its files in `folder` from when it answers to the block's end."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    ports = dict.fromkeys(_PORTS, 0)
    for name in (*_PORTS, *(f"{name}.grpc" for name in _PORTS)):
        ports[name] = free_port()
    store = ObjectStore(f"http://127.0.0.1:{ports['s3.port']}")
    (folder / "keys.json").write_text(json.dumps({"identities": _identities(store)}))
    weed = Path(sys.executable).with_name("weed")
    command = [
        str(weed if weed.exists() else shutil.which("weed") or "weed"),
        f"-logdir={folder}",
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder / 'data'}",
        f"-s3.config={folder / 'keys.json'}",
        f"-filer.localSocket={folder / 'filer.sock'}",
        *_OPTIONS,
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    log = folder / "weed.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with guarded(command, log=log, environment=environment, cwd=folder) as server:
        try:
            _wait(store, server, log)
            yield store
        finally:
            for process in descendants(server.pid):  # asked to end it would take its time, and nothing of it is kept
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def _identities(store: ObjectStore) -> list[dict[str, Any]]:
    rights = {
        (store.access_key, store.secret_key): ["Admin", "Read", "Write", "List", "Tagging"],
        store.reader: ["Read", "List"],
        store.lister: ["List"],
        store.stranger: ["Read:nothing-of-yours"],
    }
    return [
        {"name": access, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
        for (access, secret), actions in rights.items()
    ]


def _wait(store: ObjectStore, server: Any, log: Path) -> None:
    """Return once the store takes an object: its gateway answers before its volumes do."""
    from botocore.exceptions import BotoCoreError, ClientError

    client, deadline = store.owner, time.monotonic() + _START_SECONDS
    while True:
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            return
        except (BotoCoreError, ClientError):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.3)
