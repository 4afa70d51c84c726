"""The crawler as a child process, both ends: it has a process of its own, since its reactor starts only once.

`python -m photoqual.sources._crawl` reads its job as one line of JSON from standard input, then a line for each known
photo up to an empty one, and writes frames (see `_wire.py`) to standard output. It ends as soon as standard input
closes, so it cannot outlive its parent.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from photoqual.errors import SourceError
from photoqual.sources import _wire

logger = logging.getLogger(__name__)
_AHEAD_BYTES = 1 << 20
"""What a pipe may hold on Linux without further rights."""


def run(job: dict[str, Any], known: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Run the spider on `job`, tell it the lines `known`, and yield its frames; the last is of kind `done`.

    Raise SourceError when it breaks off.
    """
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "photoqual.sources._crawl"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("a child with pipes has pipes")
        _widen(child.stdout)
        ended = False
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.writelines(known)
            child.stdin.write(b"\n")
            child.stdin.flush()
            while not ended and (frame := _wire.read_frame(child.stdout)):
                ended = frame[0]["kind"] == "done"
                yield frame
        except BrokenPipeError:
            ended = False
        finally:
            child.kill()
            child.wait()
            with suppress(BrokenPipeError):
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


def _widen(pipe: IO[bytes]) -> None:
    """Let the crawler be ahead of us by some photos, where the system knows how: it cannot crawl while it waits."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _AHEAD_BYTES)


def main() -> None:
    """Run one crawl: the job from standard input, its frames to standard output."""
    from pydantic import TypeAdapter
    from scrapy.crawler import CrawlerProcess

    from photoqual.config import GallerySource
    from photoqual.sources._gallery_walks import KnownPages
    from photoqual.sources._manners import settings_of
    from photoqual.sources._spider import GallerySpider

    job = json.loads(sys.stdin.buffer.readline())
    known = KnownPages(iter(lambda: sys.stdin.buffer.readline().strip(), b""))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        config = TypeAdapter(GallerySource).validate_json(json.dumps(job["config"]))
        process = CrawlerProcess(settings_of(config, job["max_megabytes"]))
        crawler = process.create_crawler(GallerySpider)
        process.crawl(crawler, job=job, config=config, known=known, out=out)
        process.start()
        report = crawler.spider.report() if isinstance(crawler.spider, GallerySpider) else {}
        _wire.write_frame(out, {"kind": "done", **report})
    os._exit(0)


def _end_with_parent() -> NoReturn:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
