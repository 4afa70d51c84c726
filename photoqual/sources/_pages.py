"""From a photo's page, as the crawler has it, to its key and its record. Pure."""

import re
from urllib.parse import urlsplit

from scrapy.http import Response, TextResponse

from photoqual.config import GallerySource
from photoqual.sources import _addresses, _markup
from photoqual.sources._revisits import validator
from photoqual.sources.records import Record

LONGEST_ADDRESS = 2000
"""Characters of an address that is still asked for."""


def key_of(url: str, pattern: str | None, *, one_site: bool) -> str | None:
    """Return what names a photo page from one refresh to the next: its path and query, or what `pattern` finds in them
    (None when that is nothing), with the host before it where the source has several.
    """
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if pattern:
        found = re.search(pattern, path)
        path = next(filter(None, found.groups()), found.group()) if found else ""
    return (path if one_site else f"{_addresses.authority(url)}{path}") if path else None


def record_of(response: Response, config: GallerySource, key: str) -> Record:
    """Return the record of a photo's page. Raise PageProblem when it has no rating, no image or an impossible vote."""
    if not isinstance(response, TextResponse):
        raise _markup.PageProblem("not_a_page")
    page = response.selector
    facts = _markup.facts_of(page, response.text, response.url, config.selectors, key)
    low, high = scale = facts.scale or config.rating_scale
    if not low <= facts.votes_mean <= high or low >= high:
        raise _markup.PageProblem("vote_outside_scale")
    if not _addresses.is_http(facts.image):
        raise _markup.PageProblem("image_not_http")
    if len(facts.image) > LONGEST_ADDRESS:
        raise _markup.PageProblem("image_address_too_long")
    day = f"{facts.uploaded:%Y-%m-%d}" if facts.uploaded else None
    groups = {"photo": key, "category": facts.category, "day": day}
    group = groups[config.group] if config.group in groups else _markup.select(page, config.group)
    return Record(
        source_key=key,
        page_url=response.url,
        image_url=facts.image,
        group=group,
        category=facts.category,
        title=facts.title,
        uploaded_at=facts.uploaded,
        taken_at=facts.taken,
        original_width=facts.width,
        original_height=facts.height,
        votes_count=facts.votes_count,
        votes_mean=facts.votes_mean,
        rating_scale=scale,
        page_etag=validator(response.headers),
    )
