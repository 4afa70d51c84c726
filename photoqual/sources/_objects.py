"""Objects of a bucket: their listing page by page, and their bytes, bounded in size and time.

Bytes are fetched by signed addresses over botocore's own connections: a GET through boto3 costs a third more processor
time, and waits for ever for a body that drips.
"""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from photoqual.errors import SourceError
from photoqual.sources import _s3

PAGE = 1000
"""Keys asked for at once; what the listing holds in memory."""
PATIENCE_SECONDS, SLOWEST = 60.0, 50_000.0
"""An object may take this long, and a second more for each so many bytes."""
MAX_KEY_BYTES = 1024
_CHUNK = 1 << 16
_PAUSE_SECONDS = 0.5
_CODE = re.compile(rb"<Code>(\w{1,80})</Code>")
_REASONS = {"NoSuchKey": "object_gone", "NoSuchVersion": "object_gone", "InvalidObjectState": "archived"}
TOO_LARGE = "too_many_bytes"
DENIED = "denied"
TRANSPORT = frozenset({"unreachable", "broken_off", "too_slow", "server_error"})
"""Reasons that lie with the store or the way to it, not with the object."""


@dataclass(frozen=True)
class Listed:
    """An object as the listing shows it; `mark` changes when its bytes do."""

    key: str
    size: int
    mark: str
    modified: datetime | None


class Unfetched(Exception):
    """An object could not be fetched; `reason` is a short stable key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def mark_of(etag: str | None, size: int, modified: datetime | None) -> str:
    """Return what changes when the bytes do: the store's ETag with the size, or, without one, size and time."""
    bare = (etag or "").removeprefix("W/").strip('"')
    return f"{bare}-{size}" if bare else f"{size}-{modified.isoformat() if modified else ''}"


def listed(client: Any, bucket: str, prefix: str) -> Iterator[Listed]:
    """Yield the objects below `prefix`, holding one page at a time. Raise SourceError when the store does not list them."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": PAGE}
    )
    try:
        for page in pages:
            if "IsTruncated" not in page:  # a page of something else that happens to be XML
                raise _s3.refused("200", "", client.meta.endpoint_url, bucket)
            for item in page.get("Contents", ()):
                size, modified = int(item["Size"]), item.get("LastModified")
                yield Listed(item["Key"], size, mark_of(item.get("ETag"), size, modified), modified)
    except _s3.failures() as error:
        raise _s3.problem(error, client, bucket) from None


def key_problem(key: str) -> str | None:
    """Return why a key is passed over (`folder_marker`, `key_too_long`, `name_is_not_utf8`, `unsafe_key`), or None."""
    if key.endswith("/"):
        return "folder_marker"
    if len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        return "key_too_long"
    if "\ufffd" in key:
        return "name_is_not_utf8"
    control = any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in key)
    return "unsafe_key" if control or not {".", ".."}.isdisjoint(key.split("/")) else None


def address(bucket: str, key: str) -> str:
    """Return what names the object for people; it cannot be fetched by anyone without keys."""
    return f"s3://{bucket}/{quote(key)}"


def download(client: Any, bucket: str, key: str, file: Path) -> Path:
    """Write the object `key` to `file` and return it. Raise SourceError when it is not there."""
    from botocore.exceptions import ClientError

    try:
        client.download_file(bucket, key, str(file))
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
            raise SourceError(
                f"There is no object {key} in bucket {bucket}.",
                next_step="Correct `manifest` in params.yaml, or upload it.",
            ) from None
        raise _s3.problem(error, client, bucket) from None
    except _s3.failures() as error:
        raise _s3.problem(error, client, bucket) from None
    return file


class Objects:
    """Fetches objects and their tags from any number of threads."""

    def __init__(self, client: Any, bucket: str, max_bytes: float, connections: int) -> None:
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        self.client, self.bucket, self.max_bytes = client, bucket, max_bytes
        self._http = URLLib3Session(
            verify=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
            proxies=get_environ_proxies(client.meta.endpoint_url),
            timeout=(_s3.CONNECT_SECONDS, _s3.READ_SECONDS),
            max_pool_connections=connections,
        )

    def get(self, item: Listed) -> tuple[bytes, str]:
        """Return the bytes of `item` and their mark. Raise Unfetched, or SourceError for what every object would meet."""
        for attempt in range(1, _s3.ATTEMPTS + 1):
            try:
                return self._once(item)
            except Unfetched as problem:
                if problem.reason not in TRANSPORT - {"too_slow"} or attempt == _s3.ATTEMPTS:
                    raise
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def tags(self, key: str) -> dict[str, str]:
        """Return the tags of `key`. Raise Unfetched, or SourceError for what every object would meet."""
        from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

        try:
            answer = self.client.get_object_tagging(Bucket=self.bucket, Key=key)
        except ClientError as error:
            said = error.response.get("Error", {}).get("Code", "")
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            raise self._refusal(str(said), status) from None
        except (HTTPClientError, ConnectionError):
            raise Unfetched("unreachable") from None
        except _s3.failures() as error:
            raise _s3.problem(error, self.client, self.bucket) from None
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def _once(self, item: Listed) -> tuple[bytes, str]:
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import ConnectionError, HTTPClientError
        from urllib3.exceptions import HTTPError

        try:
            signed = self.client.generate_presigned_url("get_object", {"Bucket": self.bucket, "Key": item.key})
            answer = self._http.send(AWSRequest("GET", signed, stream_output=True).prepare())
            try:
                if answer.status_code != 200:
                    code = _CODE.search(answer.raw.read1(_CHUNK))
                    raise self._refusal(code[1].decode() if code else "", answer.status_code)
                data = self._body(answer)
            except BaseException:
                answer.raw.close()
                raise
            answer.raw.release_conn()
        except (HTTPClientError, ConnectionError):
            raise Unfetched("unreachable") from None
        except (HTTPError, OSError):
            raise Unfetched("broken_off") from None
        except _s3.failures() as error:
            raise _s3.problem(error, self.client, self.bucket) from None
        etag = answer.headers.get("ETag")
        return data, mark_of(etag, len(data), None) if etag else item.mark

    def _body(self, answer: Any) -> bytes:
        """Read what was answered, no more than is allowed and no slower than is bearable."""
        length = answer.headers.get("Content-Length", "")
        promised = int(length) if length.isdecimal() else None
        if promised is not None and promised > self.max_bytes:
            raise Unfetched(TOO_LARGE)
        began, data = time.monotonic(), bytearray()
        while chunk := answer.raw.read1(_CHUNK, decode_content=False):
            data += chunk
            if len(data) > self.max_bytes:
                raise Unfetched(TOO_LARGE)
            if time.monotonic() - began > PATIENCE_SECONDS + len(data) / SLOWEST:
                raise Unfetched("too_slow")
        if promised is not None and len(data) != promised:
            raise Unfetched("broken_off")
        return bytes(data)

    def _refusal(self, code: str, status: int) -> SourceError | Unfetched:
        """Return what the error `code` of an answer with this status means: for this object, or for all."""
        if code in _s3.FATAL:
            return _s3.refused(code, "", self.client.meta.endpoint_url, self.bucket)
        if status >= 500 or status == 429:
            return Unfetched("server_error")
        usual = {404: "object_gone", 403: DENIED}.get(status, f"http_{status}")
        return Unfetched(_REASONS.get(code, usual))
