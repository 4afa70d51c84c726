"""Options of galleries whose markup is known: a profile fills what params.yaml does not give. Pure."""

from typing import Any

from photoqual.config import GallerySource, Selectors

PROFILES: dict[str, dict[str, Any]] = {
    "schema_org": {},
    "numbered_microdata": {
        "photo_links": "a::attr(href)",
        "next_links": "a[rel=next]::attr(href), link[rel=next]::attr(href)",
        "key_pattern": r"(?i)/photos?/(?:[^/?#]*[-_/])?(\d+)/?(?:\.\w+)?$|/photos?/[^?]*\?(?:.*&)?(?:id|photo)=(\d+)(?:&|$)",
        "newest_first": True,
        "selectors": Selectors(
            image='img[src*="/{key}."]::attr(src), img[src*="/{key}_"]::attr(src), img[src*="/{key}?"]::attr(src)',
            category='[itemscope] a[href*="category="]::attr(href)',
            category_pattern=r"[?&]category=(\d+)",
        ),
    },
}
"""`numbered_microdata`: photo pages, thumbnails and upload dates follow one number, the rating is microdata with a mean
in whole stars, the category is a link `/photos/?category=N`."""


def filled(config: GallerySource) -> GallerySource:
    """Return `config` with the options of its profile, except those that it gives itself."""
    options = {name: value for name, value in PROFILES[config.profile].items() if name not in config.model_fields_set}
    return config.model_copy(update=options)
