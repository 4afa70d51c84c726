"""`sources` of params.yaml: where rated photos come from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from photoqual.config.types import Folder, Positive, Span, Strict


class Politeness(Strict):
    """How a source may use a server: one place for delay, identity, retries and time limits.

    `adaptive`: a gallery's delay grows to the time that the server takes to answer, up to a minute, so that about one
    request is under way; `delay_seconds` is then the least.
    """

    user_agent: str = "photoqual (+https://github.com/photoqual/photoqual)"
    delay_seconds: Annotated[float, Field(ge=0)] = 1.0
    adaptive: bool = True
    concurrency: Positive = 2
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    retries: Annotated[int, Field(ge=0)] = 3
    obey_robots: bool = True
    allow_private_addresses: bool = False


class Selectors(Strict):
    """CSS selectors (with Scrapy's ::text and ::attr(name)) for what schema.org markup does not tell, or not rightly.

    Without `rating` and `votes` these come from the markup. `{key}` in `image` stands for the photo's key. Of the category
    counts what `category_pattern` finds in it: its first group, or the whole match.
    """

    rating: str | None = None
    votes: str | None = None
    image: str | None = None
    category: str | None = None
    category_pattern: str | None = None
    uploaded: str | None = None
    width: str | None = None
    height: str | None = None
    title: str | None = None

    @model_validator(mode="after")
    def _rates_by_both(self) -> "Selectors":
        if (self.rating is None) != (self.votes is None):
            raise ValueError("rating and votes go together")
        if self.rating is not None and self.image is None:
            raise ValueError("rating needs image beside it")
        return self


class Revisit(Strict):
    """When a known photo is looked at again: votes keep coming, to young photos more than to old ones.

    It is due when the part `share_of_age` of the age that it had at the last look has passed since then, but at least
    `at_least_days` and at most `at_most_days`, up to 30 % earlier so that photos found together are not due together.
    With `at_most_days: 0` every photo is due at every refresh. `conditional`: pages are asked for only if they changed (ETag,
    Last-Modified); `images`: so are images, to notice one that was replaced under its address.
    """

    share_of_age: Annotated[float, Field(ge=0, le=10)] = 0.1
    at_least_days: Annotated[float, Field(ge=0, le=3650)] = 1.0
    at_most_days: Annotated[float, Field(ge=0, le=3650)] = 90.0
    conditional: bool = True
    images: bool = True


class GallerySource(Strict):
    """A web site with a page per photo: schema.org AggregateRating by default, or CSS selectors.

    Only the hosts of `start` are fetched from, and those of `image_hosts` (`host` or `host:port`). `group` is
    `photo` (each alone), `category`, `day` (of the upload), or a CSS selector of the group's name on the photo's page.
    `profile` fills the options that are not given. A photo's key is the path and query of its page, or what `key_pattern`
    finds there; links in which it finds nothing lead to no photo. With `newest_first` a refresh walks a listing only down
    to the photos that an earlier one had come to, and to its end every `full_walk_days`.
    """

    kind: Literal["gallery"] = "gallery"
    profile: Literal["schema_org", "numbered_microdata"] = "schema_org"
    start: Annotated[list[Annotated[str, Field(pattern=r"^https?://[^/]")]], Field(min_length=1)]
    image_hosts: list[str] = []
    photo_links: str = "a.photo::attr(href)"
    next_links: str = "a[rel=next]::attr(href)"
    key_pattern: str | None = None
    newest_first: bool = False
    full_walk_days: Annotated[float, Field(ge=0, le=3650)] = 30.0
    rating_scale: Span = (1.0, 5.0)
    group: Literal["photo", "category", "day"] | str = "photo"
    selectors: Selectors | None = None
    revisit: Revisit = Revisit()
    politeness: Politeness = Politeness()


class FoldersSource(Strict):
    """Photos in folders; the folder is the label. Without `bad`, each folder that is not good is a class of its own.

    The group is what `group_pattern` finds in the photo's path (its first group, or the whole match), or what the
    table `groups_csv` gives in column `groups_group` for the file name or path in column `groups_image`. Files of one
    name in one folder (`IMG_1.CR2`, `IMG_1.JPG`) are one shot and a group. All photos in the folders `also_good`, such
    as good ones of others, count as good.
    """

    kind: Literal["folders"] = "folders"
    path: Folder
    good: list[str] = ["good"]
    bad: list[str] | None = None
    also_good: list[Folder] = []
    group_pattern: str | None = None
    groups_csv: str | None = None
    groups_image: str = "filename"
    groups_group: str = "group"


class VotesSource(Strict):
    """A folder of images and a table (`csv`: CSV or Parquet) with a row per image: name, mean vote, number of votes.

    With `histogram` the row has a column per grade instead, the lowest first, that counts its votes; grades lie evenly
    on `rating_scale`. `format: single_votes`: a row per vote, with columns `image`, `rater` and `vote`; raters who vote
    at random are weighed down unless `weigh_raters` is false. `format: ava`: AVA's text file, images as `<id>.jpg`;
    `group` and `category` may be tag_1, tag_2 or challenge.
    """

    kind: Literal["votes"] = "votes"
    path: Folder
    csv: str
    format: Literal["table", "single_votes", "ava"] = "table"
    image: str = "image"
    mean: str = "mean"
    count: str | None = "votes"
    histogram: Annotated[list[str], Field(min_length=2, max_length=101)] | None = None
    rater: str = "rater"
    vote: str = "vote"
    weigh_raters: bool = True
    group: str | None = None
    category: str | None = None
    rating_scale: Span = (1.0, 5.0)

    @model_validator(mode="after")
    def _fits_its_format(self) -> "VotesSource":
        if self.histogram is not None and self.format != "table":
            raise ValueError("histogram goes with format: table")
        if len(set(self.histogram or [])) != len(self.histogram or []):
            raise ValueError("histogram names a column twice")
        if self.format == "ava" and self.rating_scale not in ((1.0, 5.0), (1.0, 10.0)):
            raise ValueError("AVA's votes lie on rating_scale [1.0, 10.0]; leave it out")
        return self


Endpoint = Annotated[str, Field(pattern=r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$")]
"""The address of an S3 store, without a user or a password."""


class Mirror(Strict):
    """Where a source copies what it fetches, byte for byte: a bucket of an S3 store. Keys come from the environment or
    the Airflow connection.
    """

    bucket: Annotated[str, Field(min_length=3)]
    prefix: str = ""
    endpoint_url: Endpoint | None = None
    region: str | None = None
    connection: str | None = None


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

    Labels come from a `manifest` (CSV, JSON lines or Parquet: a local path or a key in the bucket as `s3:KEY`) with the
    columns key, label, mean, count, group, category, as far as it has them; from the object tag `label_tag`; or from
    `label_pattern`, a regular expression over the key with a group `label`: the first of them that judges a photo.
    Changing a tag changes no object: with `recheck_tags: false` tags are asked for only when an object is new or changed.
    """

    kind: Literal["bucket"] = "bucket"
    bucket: Annotated[str, Field(min_length=3)]
    prefix: str = ""
    suffixes: Annotated[list[str], Field(min_length=1)] = [".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"]
    endpoint_url: Endpoint | None = None
    region: str | None = None
    connection: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] | None = None
    label_pattern: str | None = None
    label_tag: Annotated[str, Field(min_length=1)] | None = None
    recheck_tags: bool = True
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
