"""Copy what a source fetches into a bucket, byte for byte, before the catalog learns of it."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from photoqual.config import Mirror
from photoqual.sources import _s3
from photoqual.sources._tables import shown
from photoqual.sources.records import Event, Fetched, Skipped

CONNECTIONS = 16
MAX_KEY_BYTES = 1024
WAITING_BYTES = 64 << 20
"""Bytes on their way to the store at once; a larger photo travels alone."""


class Copies:
    """Copies to the bucket of `config`; `sent` and `present` count them."""

    def __init__(self, config: Mirror) -> None:
        """Raise ConfigError for a connection that is missing or cannot be read."""
        self.config = config
        self.client = _s3.client(config.endpoint_url, config.region, config.connection, connections=CONNECTIONS)
        self.sent = self.present = 0

    def made_of(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield `events` in their order, each photo once its copy is confirmed. Raise SourceError when one is not."""
        line: deque[tuple[Event, Future[bool] | None, int]] = deque()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                for event in events:
                    if isinstance(event, Fetched) and event.data is not None:
                        key = self.config.prefix + event.record.source_key
                        if len(key.encode()) > MAX_KEY_BYTES:
                            line.append((Skipped("key_too_long", shown(key)), None, 0))
                        else:
                            line.append((event, pool.submit(self._copy, key, event.data), len(event.data)))
                    else:
                        line.append((event, None, 0))
                    while len(line) > 2 * CONNECTIONS or sum(size for _, _, size in line) > WAITING_BYTES:
                        yield self._made(line)
                while line:
                    yield self._made(line)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _made(self, line: deque[tuple[Event, Future[bool] | None, int]]) -> Event:
        event, copy, _ = line.popleft()
        if copy is not None:
            sent = copy.result()
            self.sent += sent
            self.present += not sent
        return event

    def _copy(self, key: str, data: bytes) -> bool:
        return _s3.put(self.client, self.config.bucket, key, data, hashlib.sha256(data).hexdigest())
