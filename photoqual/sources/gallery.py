"""Provider: any web site with a page per photo that shows a rating.
Terms: yours to read: robots.txt and the delay are honoured, the rest is between you and the site.
Rate limit: `politeness` in params.yaml; by default one request a second, two at a time.
Rating scale: as the page states, else `rating_scale`.
Output: a record per photo page, the bytes of its thumbnail where it is new.

The crawl runs in a child process that ends with this one; its photos come over a pipe, one by one.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from photoqual.config import GallerySource, PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.sources import _wire
from photoqual.sources.records import Fetched, Known, Skipped

logger = logging.getLogger(__name__)
_STATUS = {
    "timeout": "did not answer in time",
    "connection_refused": "refused the connection",
    "connection_lost": "broke the connection off",
    "unknown_host": "has no address",
    "robots_txt": "is closed to crawlers by its robots.txt",
    "other_host": "leads to a host that the source does not name",
    "private_address": "leads to a private address",
    "not_http": "leads to an address that is not http or https",
    "no_photo_links": "shows no photo link",
    "not_a_page": "is not an HTML page",
}
_NEXT_STEPS = {
    "robots_txt": "Ask the site's owner; a gallery of your own may set politeness.obey_robots to false.",
    "other_host": "Put the address that it leads to into `start`, or its host into `image_hosts`.",
    "private_address": "For a site on your own network set politeness.allow_private_addresses to true.",
    "no_photo_links": "Set `photo_links` to the selector of the links to photo pages.",
    "no_rating": "Set `selectors` for a site without schema.org ratings.",
}


class Gallery:
    """A web gallery, read by Scrapy."""

    def __init__(self, config: GallerySource, photos: PhotosParams) -> None:
        self.config = config
        self.max_megabytes = photos.max_megabytes

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Crawl the site. Raise SourceError when no start address answers, or when no page gave a photo, and ConfigError
        for a selector that cannot be read.
        """
        _check_selectors(self.config)
        job: dict[str, object] = {
            "config": self.config.model_dump(mode="json"),
            "known": {key: photo.image_url for key, photo in known.items()},
            "limit": limit,
            "max_megabytes": self.max_megabytes,
        }
        found, trouble = 0, []
        for event in _crawl(job):
            if isinstance(event, Skipped):
                trouble.append(event)
            else:
                found += 1
            yield event
        if not found:
            raise _nothing(self.config.start, trouble)


def _check_selectors(config: GallerySource) -> None:
    """Raise ConfigError that names the first CSS selector of `config` that is none."""
    from parsel import Selector

    named = {"photo_links": config.photo_links, "next_links": config.next_links}
    if config.group not in ("photo", "category", "day"):
        named["group"] = config.group
    if config.selectors:
        named |= {f"selectors.{option}": value for option, value in config.selectors.model_dump().items() if value}
    for option, value in named.items():
        try:
            Selector("<p></p>").css(value)
        except Exception as error:  # cssselect, parsel and lxml each have errors of their own
            raise ConfigError(
                f"{option} {value!r} is not a CSS selector: {error}.", next_step="Mend it in params.yaml."
            ) from None


def _nothing(start: list[str], trouble: list[Skipped]) -> SourceError:
    """Say why a crawl gave no photo: by the commonest reason, with the address and the status seen."""
    reasons = [event.reason for event in trouble]
    if not reasons:
        return SourceError(
            f"{start[0]} gave no photo.",
            next_step="Open it in a browser and check `start` and `photo_links`.",
            start=start,
        )
    reason = max(set(reasons), key=lambda one: (reasons.count(one), one))
    where = next(event.where for event in trouble if event.reason == reason)
    bare = reason.removeprefix("image_")
    said = (
        f"answered {bare.removeprefix('http_')}" if bare.startswith("http_") else _STATUS.get(bare, f"failed: {bare}")
    )
    return SourceError(
        f"The site gave no photo: {where} {said} ({reasons.count(reason)} of {len(reasons)} failures).",
        next_step=_NEXT_STEPS.get(
            bare, "Open the address in a browser; if the site is well again, run the refresh again."
        ),
        start=start,
        reasons={one: reasons.count(one) for one in sorted(set(reasons))},
    )


def _crawl(job: dict[str, object]) -> Iterator[Fetched | Skipped]:
    """Run the spider in a child process and yield what it sends; the child is ended whatever happens here."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "photoqual.sources._spider"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("a child with pipes has pipes")
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            ended = False
            while frame := _wire.read_frame(child.stdout):
                head, body = frame
                ended = head["kind"] == "done"
                if head["kind"] == "skip":
                    yield Skipped(head["reason"], head["where"])
                elif not ended:
                    record = _wire.unpack_record(head["record"])
                    yield Fetched(record, body if head["kind"] == "photo" else None, head.get("reason"))
        except BrokenPipeError:
            ended = False
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if not ended:
        last = said.splitlines()[-1] if said else "it left no message"
        raise SourceError(
            f"The crawler broke off: {last}.",
            next_step="Run the refresh again; what was fetched is kept.",
            output=said[-4000:],
        )
    if said:
        logger.debug("crawler: %s", said)
