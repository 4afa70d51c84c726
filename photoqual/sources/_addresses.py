"""Which addresses a source may fetch: http or https, on the hosts that its configuration names, never private ones."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_WRAPPED_IPV4 = tuple(ipaddress.ip_network(network) for network in ("::/96", "64:ff9b::/96"))


def authority(url: str) -> str:
    """Return `host` or, off the default port, `host:port` of `url`; "" when it has none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    return host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"


def is_http(url: str) -> bool:
    """Tell whether `url` is a well-formed http or https address with a host."""
    try:
        return urlsplit(url).scheme in _DEFAULT_PORTS and bool(authority(url))
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Tell whether the IP address `address` is one of the public internet; an unreadable one is not."""
    try:
        ip = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = any(ip in network for network in _WRAPPED_IPV4)
        last = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if wrapped else None
        ip = ip.ipv4_mapped or ip.sixtofour or last or ip
    return ip.is_global and not ip.is_multicast


def refusal(url: str, allowed: Iterable[str], *, allow_private: bool) -> str | None:
    """Return why `url` may not be fetched (`not_http`, `other_host`, `private_address`), or None when it may.

    Only literal IP addresses are judged here; a name is judged when it is resolved.
    """
    if not is_http(url):
        return "not_http"
    if authority(url) not in allowed:
        return "other_host"
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return None if allow_private or is_public(host) else "private_address"
