"""`sources` of params.yaml: where rated photos come from."""

from typing import Annotated, Literal

from pydantic import Field

from photoqual.config.types import Folder, Positive, Span, Strict


class Politeness(Strict):
    """How a source may use a server: one place for delay, identity, retries and time limits."""

    user_agent: str = "photoqual (+https://github.com/photoqual/photoqual)"
    delay_seconds: Annotated[float, Field(ge=0)] = 1.0
    concurrency: Positive = 2
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    retries: Annotated[int, Field(ge=0)] = 3
    obey_robots: bool = True
    allow_private_addresses: bool = False


class Selectors(Strict):
    """CSS selectors (with Scrapy's ::text and ::attr(name)) for sites without schema.org markup."""

    rating: str
    votes: str
    image: str
    category: str | None = None
    uploaded: str | None = None
    width: str | None = None
    height: str | None = None
    title: str | None = None


class GallerySource(Strict):
    """A web site with a page per photo: schema.org AggregateRating by default, or CSS selectors.

    Only the hosts of `start` are fetched from, and those of `image_hosts` (`host` or `host:port`). `group` is
    `photo` (each alone), `category`, `day` (of the upload), or a CSS selector of the group's name on the photo's page.
    """

    kind: Literal["gallery"] = "gallery"
    start: Annotated[list[Annotated[str, Field(pattern=r"^https?://[^/]")]], Field(min_length=1)]
    image_hosts: list[str] = []
    photo_links: str = "a.photo::attr(href)"
    next_links: str = "a[rel=next]::attr(href)"
    rating_scale: Span = (1.0, 5.0)
    group: Literal["photo", "category", "day"] | str = "photo"
    selectors: Selectors | None = None
    politeness: Politeness = Politeness()


class FoldersSource(Strict):
    """Photos in folders; the folder is the label. Without `bad`, each folder that is not good is a class of its own.

    The group is what `group_pattern` finds in the photo's path (its first group, or the whole match), or what the
    table `groups_csv` gives in column `groups_group` for the file name or path in column `groups_image`.
    """

    kind: Literal["folders"] = "folders"
    path: Folder
    good: list[str] = ["good"]
    bad: list[str] | None = None
    group_pattern: str | None = None
    groups_csv: str | None = None
    groups_image: str = "filename"
    groups_group: str = "group"


class VotesSource(Strict):
    """A folder of images and a CSV with a row per image: name, mean vote, number of votes."""

    kind: Literal["votes"] = "votes"
    path: Folder
    csv: str
    image: str = "image"
    mean: str = "mean"
    count: str | None = "votes"
    group: str | None = None
    category: str | None = None
    rating_scale: Span = (1.0, 5.0)


class Mirror(Strict):
    """Where a source copies what it fetches, byte for byte: a bucket of an S3 store. Keys come from the environment."""

    bucket: Annotated[str, Field(min_length=3)]
    prefix: str = ""
    endpoint_url: str | None = None


class FiletreeSource(Strict):
    """A file tree that a web server shows as index pages (Caddy, nginx, Apache): folders are walked, files picked.

    `pattern`: a glob over the path below `start`, such as `*/*/stitched.jpg`. `date_pattern`: a regular expression
    over that path with the named groups year, month, day and, where there are any, hour, minute and second; photos of
    a day are a group. With `label_pattern`, its group `label` is the folder name that `good` and `bad` judge.
    """

    kind: Literal["filetree"] = "filetree"
    start: Annotated[list[Annotated[str, Field(pattern=r"^https?://[^/]")]], Field(min_length=1)]
    pattern: Annotated[str, Field(min_length=1)] = "**/*.jpg"
    date_pattern: str | None = None
    label_pattern: str | None = None
    good: list[str] = ["good"]
    bad: list[str] | None = None
    mirror: Mirror | None = None
    politeness: Politeness = Politeness()


class BucketSource(Strict):
    """Photos in a bucket of an S3 store. Keys come from the environment or the Airflow connection, never from here.

    Labels come from `label_pattern` (its group `label`, a regular expression over the key), from the object tag
    `label_tag`, or from a `manifest` (CSV, JSON lines or Parquet: a local path or a key in the bucket as `s3:KEY`), with the
    columns key, label, mean, count, group, category, as far as it has them.
    """

    kind: Literal["bucket"] = "bucket"
    bucket: Annotated[str, Field(min_length=3)]
    prefix: str = ""
    suffixes: list[str] = [".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"]
    endpoint_url: str | None = None
    region: str | None = None
    connection: str | None = None
    label_pattern: str | None = None
    label_tag: str | None = None
    manifest: str | None = None
    good: list[str] = ["good"]
    bad: list[str] | None = None
    rating_scale: Span = (1.0, 5.0)
    group_pattern: str | None = None
    concurrency: Positive = 16


class XmpSource(Strict):
    """A photographer's own library: ratings from XMP inside the photos and in sidecars, time and camera from EXIF.

    `burst_seconds`: photos of one camera at most this far apart are of one burst; `group`: what is kept together.
    """

    kind: Literal["xmp"] = "xmp"
    path: Folder
    group: Literal["day", "burst"] = "day"
    burst_seconds: Annotated[float, Field(gt=0)] = 3.0


class DemoSource(Strict):
    """The embedded demo site, scraped over HTTP by the gallery code. Its votes are simulated.

    `url` names a site that already runs; without it one is started on loopback for the time of the refresh and
    shows what `edition` of it holds.
    """

    kind: Literal["demo"] = "demo"
    url: str | None = None
    edition: Positive = 1


Source = Annotated[
    GallerySource | FiletreeSource | BucketSource | FoldersSource | VotesSource | XmpSource | DemoSource,
    Field(discriminator="kind"),
]
