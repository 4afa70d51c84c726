"""Which addresses a source may fetch: http or https, on the hosts that its configuration names, never private ones."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def authority(url: str) -> str:
    """Return `host` or, off the default port, `host:port` of `url`; "" when it has none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    return host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"


def is_public(address: str) -> bool:
    """Tell whether the IP address `address` is one of the public internet; an unreadable one is not."""
    try:
        ip = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return (mapped or ip).is_global and not (mapped or ip).is_multicast


def refusal(url: str, allowed: Iterable[str], *, allow_private: bool) -> str | None:
    """Return why `url` may not be fetched (`not_http`, `other_host`, `private_address`), or None when it may.

    Only literal IP addresses are judged here; a name is judged when it is resolved.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        return "not_http"
    if authority(url) not in allowed:
        return "other_host"
    try:
        ipaddress.ip_address((parts.hostname or "").partition("%")[0])
    except ValueError:
        return None
    return None if allow_private or is_public(parts.hostname or "") else "private_address"
