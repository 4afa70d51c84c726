"""Provider: the embedded demo site, a photo club that does not exist, served on loopback.
Terms: its photographs lie inside installed packages (extra `demo`) under their own free licences.
Rate limit: none; it is on this machine.
Rating scale: 1 to 5 stars. The votes are simulated, see `_demo_photos.py`.
Output: what the gallery source gives; it is scraped over HTTP by the very same code.

`python -m photoqual.sources.demo --port 8400 --edition 1` serves it for people to look at.
"""

import argparse
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

from photoqual.config import DemoSource, GallerySource, PhotosParams, Politeness
from photoqual.config.sources import Revisit
from photoqual.sources import _demo_photos
from photoqual.sources._demo_site import DemoSite
from photoqual.sources.gallery import Gallery
from photoqual.sources.records import Event, Fetched, Known, Noted

__all__ = ["Demo", "DemoSite", "unseen"]

STABLE = "http://demo.invalid"
"""The site's address in the catalog: it listens on another port each time, which changes nothing about a photo."""
_CLEARLY = 0.5
"""Strength from which the damage to a photo is plain to see."""


class Demo:
    """The demo site as a source: one that runs at `url`, or one that is started for the time of the refresh."""

    def __init__(self, config: DemoSource, photos: PhotosParams) -> None:
        self.config, self.photos = config, photos

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Event]:
        """Scrape the site. Raise SourceError when it is down or the extra `demo` is not installed."""
        with ExitStack() as stack:
            url = (
                self.config.url.rstrip("/")
                if self.config.url
                else stack.enter_context(DemoSite(self.config.edition)).url
            )
            here = {key: _moved_known(photo, url) for key, photo in known.items()}
            for event in Gallery(gallery_at(url), self.photos).harvest(here, limit=limit):
                yield _moved_event(event, url)


def gallery_at(url: str) -> GallerySource:
    """Return the configuration that scrapes the demo site at `url`: what a person would write for a site like it, but
    with every photo looked at every time.
    """
    polite = Politeness(delay_seconds=0.0, concurrency=8, adaptive=False, allow_private_addresses=True)
    return GallerySource(start=[f"{url}/photos"], group=".album", revisit=Revisit(at_most_days=0.0), politeness=polite)


def _moved_known(photo: Known, url: str) -> Known:
    """Return what is known of a photo with its addresses on the site that runs at `url`."""
    page, image = (_moved(address, STABLE, url) for address in (photo.page_url, photo.image_url))
    return replace(photo, page_url=page, image_url=image)


def _moved_event(event: Event, url: str) -> Event:
    """Return what was fetched from `url` under the site's stable address."""
    if isinstance(event, Noted):
        return replace(event, page_url=_moved(event.page_url, url, STABLE))
    if not isinstance(event, Fetched):
        return event
    page, image = (_moved(address, url, STABLE) for address in (event.record.page_url, event.record.image_url))
    return replace(event, record=replace(event.record, page_url=page, image_url=image))


def _moved(address: str | None, old: str, new: str) -> str | None:
    return new + address.removeprefix(old) if address and address.startswith(old + "/") else address


def unseen(edition: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and JPEG of three photos that the edition after `edition` brings: one undamaged, two damaged."""
    coming = _demo_photos.photos(edition + 1)[len(_demo_photos.photos(edition)) :]
    undamaged = next(photo for photo in coming if photo.defect is None)
    damaged = {photo.defect: photo for photo in coming if photo.defect and photo.strength > _CLEARLY}
    for photo in (undamaged, *list(damaged.values())[:2]):
        name = f"{photo.defect or 'undamaged'}-{photo.number}".lower().replace(" ", "-")
        yield name, _demo_photos.render(photo)


def main() -> None:
    """Serve the demo site until it is interrupted."""
    parser = argparse.ArgumentParser(description="Serve photoqual's demo site on loopback.")
    parser.add_argument("--port", type=int, default=8400, help="0: a free one")
    parser.add_argument("--edition", type=int, default=1, help="how far the site has grown")
    parser.add_argument("--poisoned", action="store_true", help="start with poisoned votes")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with DemoSite(options.edition, options.poisoned, options.port) as site:
        print(f"The demo site is at {site.url} (Ctrl-C ends it).", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
