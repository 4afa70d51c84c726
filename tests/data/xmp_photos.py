"""XMP packets and photos that carry them, for the tests of the source `xmp`."""

from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.conftest import encoded, scene

XAP, MICROSOFT = "http://ns.adobe.com/xap/1.0/", "http://ns.microsoft.com/photo/1.0/"
RATING, PERCENT, MAKE, MODEL, ORIENTATION, XMP = 0x4746, 0x4749, 0x010F, 0x0110, 0x0112, 700
TAKEN, ZONE, FRACTION = 0x9003, 0x9011, 0x9291


def packet(attributes: str = "", elements: str = "", *, names: str = "") -> str:
    """Return a packet as editors write it, with what is said of the photo as attributes and as elements."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="test"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:xmp="{XAP}" xmlns:MicrosoftPhoto="{MICROSOFT}" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {names} {attributes}>{elements}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta>\n    <?xpacket end="w"?>'
    )


def rated(stars: object) -> str:
    """Return a packet with the rating `stars`."""
    return packet(f'xmp:Rating="{stars}"')


def exif(tags: dict[int, Any] | None = None, **details: Any) -> Image.Exif:
    """Return EXIF with `tags` in its first directory, and taken, zone and fraction among its details."""
    made = Image.Exif()
    made[0x0131] = "test"
    for tag, value in (tags or {}).items():
        made[tag] = value
    numbers = {"taken": TAKEN, "zone": ZONE, "fraction": FRACTION}
    if details:
        made.get_ifd(0x8769).update({numbers[name]: value for name, value in details.items()})
    return made


def photo(kind: str = "JPEG", xmp: str | bytes | None = None, facts: Image.Exif | None = None, seed: int = 1) -> bytes:
    """Return a photo as the bytes of a file of `kind` that carries a packet and EXIF."""
    told = b"" if xmp is None else xmp.encode() if isinstance(xmp, str) else xmp
    facts = facts or Image.Exif()
    image = scene(seed)
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    if kind == "TIFF":
        whole = Image.Exif()
        whole.load(facts.tobytes())
        if told:
            whole[XMP] = told
        return encoded(image, kind, exif=whole)
    options: dict[str, Any] = {"exif": facts.tobytes()} if len(facts) else {}
    if kind == "PNG" and told:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", told.decode())
    elif told:
        options["xmp"] = told
    return encoded(image, kind, **options)


def segment(body: bytes, marker: int = 0xE1) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Return `jpeg` with `segments` at its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]
