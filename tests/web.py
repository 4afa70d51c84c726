"""Web servers on loopback for tests and benchmarks: Caddy with browsable folders; and the index pages of nginx and
Apache as text, to be served by whatever answers with it.
"""

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from urllib.parse import quote

from photoqual.embedded.home import guarded
from tests.servers import free_port

_START_SECONDS = 60
_CADDYFILE = """{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} {{
    root * "{root}"
    {more}
    file_server browse
}}
"""
Row = tuple[str, str, str]
"""A row of an index page: name (a folder's ends with a slash), date, size."""


@contextmanager
def caddy(root: Path, folder: Path, *, more: str = "") -> Iterator[str]:
    """Serve `root` with index pages by Caddy, its own files in `folder`; yield the address, without a slash at its end.

    `more`: further directives of the site.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file, log = folder / "Caddyfile", folder / "caddy.log"
    file.write_text(_CADDYFILE.format(port=port, root=root, more=more))
    binary = Path(sys.executable).with_name("caddy")
    command = [str(binary if binary.exists() else shutil.which("caddy") or "caddy"), "run", "--config", str(file)]
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with guarded(
        [*command, "--adapter", "caddyfile"], log=log, environment={**os.environ, **home}, cwd=folder
    ) as server:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


def nginx_page(folder: str, rows: Sequence[Row]) -> str:
    """Return what nginx's `autoindex on` writes for `folder`; long names are cut in the text, not in the link."""
    lines = [
        f'<a href="{quote(name)}">{escape(name if len(name) <= 50 else name[:47] + "..>")}</a>'
        f"{' ' * max(1, 51 - len(name))}{date} {size:>19}"
        for name, date, size in rows
    ]
    title = f"Index of {escape(folder)}"
    top = f'<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr><pre><a href="../">../</a>'
    return "\r\n".join([top, *lines, "</pre><hr></body>", "</html>", ""])


def apache_page(folder: str, rows: Sequence[Row]) -> str:
    """Return what Apache's `Options Indexes` with `IndexOptions FancyIndexing` writes for `folder`."""
    lines = [
        f'<img src="/icons/image2.gif" alt="[IMG]"> <a href="{quote(name)}">{escape(name)}</a>'
        f"{' ' * max(1, 24 - len(name))}{date}  {size:>4}  "
        for name, date, size in rows
    ]
    return "\n".join(
        [
            *_apache_top(folder),
            '<pre><img src="/icons/blank.gif" alt="Icon "> <a href="?C=N;O=D">Name</a>                    '
            '<a href="?C=M;O=A">Last modified</a>      <a href="?C=S;O=A">Size</a>  '
            f'<a href="?C=D;O=A">Description</a><hr><img src="/icons/back.gif" alt="[PARENTDIR]"> '
            f'<a href="{_above(folder)}">Parent Directory</a>                             -   ',
            *lines,
            "<hr></pre>",
            "<address>Apache/2.4.62 (Debian) Server at 127.0.0.1 Port 80</address>\n</body></html>",
        ]
    )


def apache_table(folder: str, rows: Sequence[Row]) -> str:
    """Return what Apache writes with `IndexOptions FancyIndexing HTMLTable IconsAreLinks`."""
    lines = [
        f'<tr><td valign="top"><a href="{quote(name)}"><img src="/icons/image2.gif" alt="[IMG]"></a></td>'
        f'<td><a href="{quote(name)}">{escape(name)}</a></td><td align="right">{date}  </td>'
        f'<td align="right">{size:>4}</td><td>&nbsp;</td></tr>'
        for name, date, size in rows
    ]
    return "\n".join(
        [
            *_apache_top(folder),
            '  <table>\n<tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th><th><a href="?C=N;O=D">Name</a>'
            '</th><th><a href="?C=M;O=A">Last modified</a></th><th><a href="?C=S;O=A">Size</a></th></tr>',
            f'<tr><td valign="top"><img src="/icons/back.gif" alt="[PARENTDIR]"></td><td><a href="{_above(folder)}">'
            'Parent Directory</a></td><td>&nbsp;</td><td align="right">  - </td><td>&nbsp;</td></tr>',
            *lines,
            "</table>\n</body></html>",
        ]
    )


def _apache_top(folder: str) -> list[str]:
    title = f"Index of {escape(folder.rstrip('/'))}"
    return [
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">',
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n<h1>{title}</h1>",
    ]


def _above(folder: str) -> str:
    return quote(folder.rstrip("/").rpartition("/")[0]) + "/"
