"""Where the statements of a sidecar stand in its bytes, so that ours can be changed and every other byte stays.

A sidecar is first read as any untrusted packet (`photos.xmp`: no DTD, no entities, bounded size and depth); only then
is it read again for the places of things. A digest over all that is not ours tells whether an edit touched more than
it should.
Not covered: other encodings than UTF-8; they are refused.
"""

import hashlib
import re
from dataclasses import dataclass, field
from xml.parsers import expat

from photoqual.errors import UnusableSidecar
from photoqual.photos import xmp
from photoqual.photos.containers import MAX_PACKET_BYTES
from photoqual.photos.xmp import NAMESPACE, Xmp

OURS = f"{NAMESPACE} "
RATING = "http://ns.adobe.com/xap/1.0/ Rating"
_RDF_URI = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_RDF, _DESCRIPTION, _ABOUT = _RDF_URI + "RDF", _RDF_URI + "Description", (_RDF_URI + "about", "about")
_NAMESPACE_BYTES = NAMESPACE.encode()
_PADDING = b"\0 \t\r\n"
_BOM = b"\xef\xbb\xbf"
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)""")
_NAME = re.compile(rb"<[^\s/>]+")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=<>/"']+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TAG_END = re.compile(rb"\s*/?>")
NOT_UTF8, NOT_RDF = "xmp_not_utf8", "xmp_not_rdf"
_PROBLEMS = {
    xmp.TOO_LARGE: "It is larger than any sidecar should be.",
    xmp.BROKEN: "It is no well-formed XML, or has a document type, entities or a hundred levels.",
    NOT_UTF8: "It is not in UTF-8.",
    NOT_RDF: "It is not XMP: there is not exactly one rdf:RDF at its top.",
}
Span = tuple[int, int]


@dataclass(frozen=True)
class Statement:
    """A property of the photo that is ours, or `xmp:Rating`. `text` is None where it holds more than plain text.

    `span` is what to take out for it to be gone, `value` where its value stands as it is written.
    """

    name: str
    text: str | None
    span: Span
    value: Span


@dataclass
class _Element:
    """A statement that is being read: where it starts and its tag ends, and whether it holds plain text so far."""

    start: int
    tag_end: int
    plain: bool


@dataclass
class Block:
    """An rdf:Description of the photo. `others`: it also holds what is neither ours nor `xmp:Rating`. `names`: where it
    declares our namespace.
    """

    about: str
    start: int
    end: int = 0
    others: bool = False
    statements: list[Statement] = field(default_factory=list)
    names: list[Span] = field(default_factory=list)


@dataclass
class Packet:
    """A sidecar that was read. `inside` is where the content of rdf:RDF begins and ends; both are the end of its tag
    where it has no content. `prefixed`: in it the prefix `rdf` has its usual meaning. `others` counts what is not ours.
    `read` is what the reader of ratings makes of it.
    """

    data: bytes
    blocks: list[Block] = field(default_factory=list)
    inside: Span = (0, 0)
    prefixed: bool = False
    others: int = 0
    digest: bytes = b""
    read: Xmp = field(default_factory=Xmp)

    @property
    def ours(self) -> dict[str, str]:
        """What we said, by name."""
        return {s.name.removeprefix(OURS): s.text or "" for s in self._statements() if s.name.startswith(OURS)}

    @property
    def ratings(self) -> list[Statement]:
        """Every `xmp:Rating`; more than one is against the standard."""
        return [statement for statement in self._statements() if statement.name == RATING]

    def _statements(self) -> list[Statement]:
        return [statement for block in self.blocks for statement in block.statements]


def parse(data: bytes) -> Packet:
    """Return what stands where in the sidecar `data`. Raise UnusableSidecar where it cannot be told."""
    text = data.strip(_PADDING)
    if len(data) <= MAX_PACKET_BYTES and not _is_utf8(text):
        raise UnusableSidecar(NOT_UTF8, _PROBLEMS[NOT_UTF8])
    read = xmp.read_packet(data)
    if read.problem in (xmp.TOO_LARGE, xmp.BROKEN):
        raise UnusableSidecar(read.problem, _PROBLEMS[read.problem])
    finder = _Finder(text, data.index(text))
    try:
        finder.run()
    except (expat.ExpatError, ValueError):
        raise UnusableSidecar(xmp.BROKEN, _PROBLEMS[xmp.BROKEN]) from None
    if finder.roots != 1:
        raise UnusableSidecar(NOT_RDF, _PROBLEMS[NOT_RDF])
    found = finder.found
    found.data, found.digest, found.read = data, finder.hash.digest(), read
    return found


def _is_utf8(text: bytes) -> bool:
    """Tell whether `text` is in UTF-8 as far as its start tells."""
    declared = _DECLARED.match(text.removeprefix(_BOM)[:200])
    if declared is not None and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        return False
    return b"\0" not in text[:4] and text[:2] not in (b"\xff\xfe", b"\xfe\xff")


class _Finder:
    """Takes in what the parser finds; `shift` is where `text` begins in the whole file."""

    def __init__(self, text: bytes, shift: int) -> None:
        self.found = Packet(b"")
        self.hash = hashlib.sha256()
        self.roots = 0
        self._text, self._shift = text, shift
        self._path: list[str] = []
        self._block: Block | None = None
        self._block_is_empty_tag = False
        self._chars: list[str] = []
        self._own: _Element | None = None
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._chars.append
        parser.CommentHandler = lambda text: self._aside("comment", text)
        parser.ProcessingInstructionHandler = lambda target, text: self._aside("instruction", target, text)

    def run(self) -> None:
        """Read it all. Raise ExpatError where it is not well-formed."""
        self._parser.Parse(self._text, True)

    def _start(self, name: str, listed: list[str]) -> None:
        at = self._parser.CurrentByteIndex
        self._flush()
        if self._own is not None:
            self._own.plain = False
        elif name == _RDF and len(self._path) <= 1:
            self._open_rdf(at)
        elif _is_top([*self._path[-1:], name], len(self._path) + 1):
            self._open_block(at, listed)
        elif _recorded(name) and _is_top(self._path, len(self._path)):
            self._own = _Element(at, self._tag(at)[0], not listed)
        else:
            self._emit("start", name, sorted(zip(listed[::2], listed[1::2], strict=True)))
        self._path.append(name)

    def _end(self, name: str) -> None:
        at = self._parser.CurrentByteIndex
        self._flush()
        self._path.pop()
        if self._own is not None:
            if _is_top(self._path, len(self._path)):
                self._close_own(name, at)
        elif name == _RDF and len(self._path) <= 1:
            self.found.inside = (self.found.inside[0], at + self._shift)
        elif self._block is not None and _is_top([*self._path[-1:], name], len(self._path) + 1):
            self._block.end = self._after(at, self._block_is_empty_tag) + self._shift
            self._block = None
        else:
            self._emit("end", name)

    def _open_rdf(self, at: int) -> None:
        self.roots += 1
        end = self._tag(at)[0] + self._shift
        self.found.prefixed = self._text.startswith(b"<rdf:RDF", at)
        self.found.inside = (end, end)

    def _open_block(self, at: int, listed: list[str]) -> None:
        end, places = self._tag(at)
        self._block_is_empty_tag = self._text[end - 2 : end] == b"/>"
        told = list(zip(listed[::2], listed[1::2], strict=True))
        about = next((value for key, value in told if key in _ABOUT), "")
        self._block = block = Block(about, at + self._shift)
        self.found.blocks.append(block)
        declared = [place for place in places if place[0].startswith(b"xmlns")]
        block.names = [self._at(span) for _, span, value in declared if self._text[slice(*value)] == _NAMESPACE_BYTES]
        stated = [place for place in places if not place[0].startswith(b"xmlns")]
        for (key, value), (_, span, inner) in zip(told, stated, strict=True):
            if _recorded(key):
                block.statements.append(Statement(key, value, self._at(span), self._at(inner)))
        for key, value in sorted(told):
            if key not in _ABOUT and not _recorded(key):
                self._emit("property", key, value)

    def _close_own(self, name: str, at: int) -> None:
        """Take in the statement that ends at `at`, an element."""
        own, self._own = self._own, None
        text = "".join(self._chars)
        self._chars.clear()
        if own is None or self._block is None:
            return
        start, end = own.start, self._after(at, self._text[own.tag_end - 2 : own.tag_end] == b"/>")
        while self._text[start - 1 : start].isspace():
            start -= 1
        inner = self._at((own.tag_end, at))
        self._block.statements.append(Statement(name, text if own.plain else None, self._at((start, end)), inner))

    def _aside(self, *what: str) -> None:
        """Take in a comment or a processing instruction."""
        if self._own is not None:
            self._own.plain = False
        else:
            self._flush()
            self._emit(*what)

    def _flush(self) -> None:
        """Take in the text since the last tag; blanks between properties tell nothing."""
        if self._own is not None or not self._chars:
            return
        text = "".join(self._chars)
        self._chars.clear()
        between = self._path[-1] == _RDF or (self._block is not None and self._path[-1] == _DESCRIPTION)
        if not between or text.strip():
            self._emit("text", text)

    def _emit(self, kind: str, *what: object) -> None:
        """Count and digest something that is not ours; what holds a packet together is no statement of anybody."""
        if self._block is not None:
            self._block.others = True
            self.hash.update(repr(self._block.about).encode())
        frame = not self._path or (kind == "instruction" and what[0] == "xpacket")
        if not frame and not (kind == "text" and not str(what[0]).strip()):
            self.found.others += 1
        self.hash.update(repr((kind, *what)).encode() + b"\n")

    def _tag(self, at: int) -> tuple[int, list[tuple[bytes, Span, Span]]]:
        """Return where the tag at `at` ends, and of each of its attributes (name, span with the blanks before it, span
        of its value).
        """
        places = []
        at = _end_of(_NAME.match(self._text, at))
        while attribute := _ATTRIBUTE.match(self._text, at):
            at = attribute.end()
            places.append((attribute[1], attribute.span(), attribute.span(2 if attribute[2] is not None else 3)))
        return _end_of(_TAG_END.match(self._text, at)), places

    def _after(self, at: int, empty_tag: bool) -> int:
        """Return where the element ends whose end the parser tells at `at`: before its end tag, or after its only one."""
        return at if empty_tag else self._text.index(b">", at) + 1

    def _at(self, span: Span) -> Span:
        return span[0] + self._shift, span[1] + self._shift


def _is_top(path: list[str], depth: int) -> bool:
    """Tell whether `path`, of `depth`, ends in a description of the photo itself."""
    return depth <= 3 and path[-2:] == [_RDF, _DESCRIPTION]


def _recorded(name: str) -> bool:
    return name == RATING or name.startswith(OURS)


def _end_of(match: re.Match[bytes] | None) -> int:
    """Return the end of `match`. Raise ExpatError where the text is not what the parser said."""
    if match is None:
        raise expat.ExpatError("a tag is not where the parser found it")
    return match.end()
