"""Objects fetched by many threads and handed out in the order of the listing, with bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from photoqual.errors import SourceError
from photoqual.sources._objects import DENIED, TRANSPORT, Listed
from photoqual.sources.records import Fetched, Record, Skipped

WINDOW_BYTES = 64 << 20
"""Bytes on their way at once, as the listing states them; a larger object travels alone."""
TROUBLES = 20
"""So many failures of the store in a row end the harvest."""
Event = Fetched | Skipped


@dataclass(frozen=True)
class Wanted:
    """What has to be asked of the store about an object: its tags, its bytes, or both."""

    item: Listed
    record: Record
    tags: bool
    data: bool


def in_order(
    plans: Iterable[Event | Wanted], ask: Callable[[Wanted], Event], *, concurrency: int, limit: int | None
) -> Generator[Event, None, bool]:
    """Yield what `plans` hold and what `ask`, called in `concurrency` threads, returns for those that are wanted.

    Nothing is asked ahead of whoever takes the events by more than a window. At most `limit` events are new photos;
    return whether `plans` came to their end. Raise SourceError when the store fails again and again.
    """
    window: deque[tuple[Future[Event], int]] = deque()
    new, got, troubles, last = 0, 0, 0, Skipped("", "")

    def taken() -> Event:
        nonlocal new, got, troubles, last
        event = window.popleft()[0].result()
        if isinstance(event, Fetched):
            new += event.data is not None or event.refused is not None
            got, troubles = got + 1, 0
        elif event.reason in TRANSPORT or event.reason == DENIED:
            troubles, last = troubles + 1, event
            if troubles >= TROUBLES:
                raise _failing(last, troubles)
        return event

    with ThreadPoolExecutor(concurrency) as pool:
        try:
            for plan in plans:
                if not isinstance(plan, Wanted):
                    yield plan
                    continue
                weight = plan.item.size if plan.data else 0
                while window and (
                    len(window) >= 2 * concurrency
                    or sum(size for _, size in window) + weight > WINDOW_BYTES
                    or (limit is not None and new + len(window) >= limit)
                ):
                    yield taken()
                if limit is not None and plan.data and new >= limit:
                    return False
                window.append((pool.submit(ask, plan), weight))
            while window:
                yield taken()
            if troubles and not got:
                raise _failing(last, troubles)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return True


def _failing(event: Skipped, times: int) -> SourceError:
    """Say that the store gives nothing any more."""
    if event.reason == DENIED:
        return SourceError(
            f"The credentials may list the bucket but not read it: {times} objects, the last {event.where}, were denied.",
            next_step="Ask for s3:GetObject, and for labels from tags s3:GetObjectTagging.",
        )
    return SourceError(
        f"The store failed {times} times in a row ({event.reason}), last at {event.where}.",
        next_step="Run the refresh again when the store is well; what was fetched is kept.",
        reason=event.reason,
    )
