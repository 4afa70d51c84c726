"""How far the app lets strangers go."""

import ipaddress
import math

from photoqual.config import PhotosParams

LIMITS = PhotosParams()
"""Limits on each untrusted photo; the shipped defaults."""
AT_ONCE = 100
"""Photos that are rated of one upload."""
A_MINUTE = 200
"""Photos that are rated for one session in a minute."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server on `host`, a name or an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def admitted(wanted: int, times: list[float], now: float) -> tuple[int, int]:
    """Return how many of `wanted` photos may be rated now, and in how many seconds more may be (0: now).

    `times`: when each photo of this session was rated; those older than a minute are taken out of it.
    """
    times[:] = [time for time in times if now - time < 60]
    count = max(0, min(wanted, AT_ONCE, A_MINUTE - len(times)))
    wait = math.ceil(60 - (now - times[0])) if wanted > count == A_MINUTE - len(times) and times else 0
    return count, wait
