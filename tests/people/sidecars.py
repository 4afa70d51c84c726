"""Sidecars as photo programs write them, each with `{rating}` where the program puts its stars, and a rating of ours."""

from typing import Any

from photoqual.rating.rater import Rating

LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00        ">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:CreatorTool="Adobe Photoshop Lightroom Classic 13.2 (Macintosh)"{attribute}
   xmp:Label="Rot &amp; Gr\u00fcn"
   crs:Version="16.2"
   crs:Exposure2012="+0.35"
   crs:HasSettings="True">
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li
      stEvt:action="saved"
      stEvt:when="2024-05-01T10:11:12+02:00"
      stEvt:changed="/metadata"/>
    </rdf:Seq>
   </xmpMM:History>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Abend</rdf:li>
     <rdf:li>See</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Ort|Bayern|See</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <crs:MaskGroupBasedCorrections>
    <rdf:Seq>
     <rdf:li>
      <rdf:Description
       crs:What="Correction"
       crs:CorrectionAmount="1">
      <crs:CorrectionMasks>
       <rdf:Seq>
        <rdf:li crs:What="Mask/Gradient" crs:ZeroX="0.5"/>
       </rdf:Seq>
      </crs:CorrectionMasks>
      </rdf:Description>
     </rdf:li>
    </rdf:Seq>
   </crs:MaskGroupBasedCorrections>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   digiKam:PickLabel="0"
   digiKam:ColorLabel="2"{attribute}>
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Menschen/Zo\u00eb</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <digiKam:CaptionsAuthorNames>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">Zo\u00eb &lt;z@example.org&gt;</rdf:li>
    </rdf:Alt>
   </digiKam:CaptionsAuthorNames>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Zo\u00eb" mwg-rs:Type="Face">
       <mwg-rs:Area stArea:x="0.5" stArea:y="0.25" stArea:w="0.1" stArea:h="0.1" stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
{padding}<?xpacket end="w"?>"""
DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2024:05:01 10:11:12.000"{attribute}
   xmpMM:DerivedFrom="IMG_1.CR2"
   darktable:import_timestamp="63850000000000000"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:history_end="2">
   <darktable:masks_history>
    <rdf:Seq>
     <rdf:li
      darktable:mask_num="2"
      darktable:mask_id="1714551072"
      darktable:mask_points="gz02eJxjYGBgcM1cAQAD0gFe"/>
    </rdf:Seq>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="rawprepare"
      darktable:enabled="1"
      darktable:params="00000000000000000000000000000000"
      darktable:multi_name=""
      darktable:blendop_params="gz11eJxjYGBgkGAAgRNODGiAEV0AJ2iwh+CRyscOAAdeGQQ="/>
     <rdf:li
      darktable:num="1"
      darktable:operation="exposure"
      darktable:enabled="1"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
EXIFTOOL = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>

 <rdf:Description rdf:about='uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b'
  xmlns:dc='http://purl.org/dc/elements/1.1/'>
  <dc:title>
   <rdf:Alt>
    <rdf:li xml:lang='x-default'>Am &quot;See&quot; &#x2014; Zo\u00eb&#x27;s</rdf:li>
   </rdf:Alt>
  </dc:title>
 </rdf:Description>

 <rdf:Description rdf:about='uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b'
  xmlns:xmp='http://ns.adobe.com/xap/1.0/'>
  <xmp:CreateDate>2024-05-01T10:11:12</xmp:CreateDate>{element}
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
{padding}<?xpacket end='w'?>"""
ONE_LINE = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:stars="http://ns.adobe.com/xap/1.0/" xmlns:photoqual="http://example.org/" '
    'photoqual:Score="not ours">{element:stars}</rdf:Description></rdf:RDF>'
)
OTHER_PREFIXES = """<?xml version='1.0'?><!-- kept: <xmp:Rating>5</xmp:Rating> -->
<m:xmpmeta xmlns:m='adobe:ns:meta/' xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<r:RDF xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:rdf='http://example.org/rdf'>\r
\t<r:Description r:about='' rdf:about='no RDF'{attribute}><!-- a note --><?program keeps this?>
\t\t<note xmlns='http://example.org/'><![CDATA[a <b> & c]]></note></r:Description>\r
\t</r:RDF>
</m:xmpmeta>"""
EMPTY = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
</rdf:RDF></x:xmpmeta>"""
PROGRAMS = {
    "Lightroom": LIGHTROOM,
    "digiKam": DIGIKAM,
    "darktable": DARKTABLE,
    "ExifTool": EXIFTOOL,
    "one line": ONE_LINE,
    "other prefixes": OTHER_PREFIXES,
    "byte order mark": "\ufeff" + LIGHTROOM,
    "Windows lines": DARKTABLE.replace("\n", "\r\n"),
    "NUL padding": LIGHTROOM + "\0" * 500,
}
PADDING = (" " * 99 + "\n") * 20


def sidecar_of(program: str, stars: object | None = None) -> bytes:
    """Return the sidecar of `program` with `stars` where and how it writes them; None: it writes none."""
    attribute = "" if stars is None else f'\n   xmp:Rating="{stars}"'
    element = "" if stars is None else f"\n  <xmp:Rating>{stars}</xmp:Rating>"
    text = PROGRAMS[program].replace("{attribute}", attribute).replace("{padding}", PADDING)
    return text.replace("{element:stars}", element.replace("xmp:", "stars:")).replace("{element}", element).encode()


def rating_of(photo: str, **changes: Any) -> Rating:
    """Return a rating of `photo` of four stars, with `changes`."""
    said: dict[str, Any] = {
        "score": 0.8123,
        "stars": 4,
        "sure": True,
        "familiar": None,
        "label": "good",
        "defects": {},
        "reasons": [],
        "strengths": [],
        "measures": {},
        "model": "models:/photoqual/3",
    }
    return Rating(photo=photo, **said | changes)
