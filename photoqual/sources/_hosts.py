"""The servers that the downloader asks: where their names lead, when each may be asked next, what its robots.txt says."""

import asyncio
import socket
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from protego import Protego

from photoqual.sources import _addresses


class Refused(Exception):
    """A name that leads to a private address."""


class PublicResolver(ThreadedResolver):
    """Resolve names to their public addresses only: what is checked is what is connected to."""

    def __init__(self, allow_private: bool) -> None:
        super().__init__()
        self.allow_private = allow_private
        self.proxies = {urlsplit(address).hostname or "" for address in urllib.request.getproxies().values()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        if self.allow_private or host in self.proxies:
            return found
        public = [one for one in found if _addresses.is_public(one["host"])]
        if not public:
            raise Refused(host)
        return public


@dataclass
class Host:
    """What is known of one server: when it may be asked next, and what its robots.txt says."""

    origin: str
    delay: float
    proxy: str | None
    next_at: float = 0.0
    rests_until: float = 0.0
    robots: Protego | str | None = None
    """The rules; None for none; a reason why nothing may be fetched."""
    robots_read: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def turn(self) -> None:
        """Wait until the server may be asked once more."""
        clock = asyncio.get_running_loop().time
        while self.delay or self.rests_until:
            at = max(clock(), self.next_at, self.rests_until)
            self.next_at = at + self.delay
            await asyncio.sleep(at - clock())
            if self.rests_until <= clock():
                return
