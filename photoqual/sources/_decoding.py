"""Decoding in processes of their own: as many at a time as there are processors, and a file that kills its decoder, or
never lets it end, costs itself and nobody else.

The processes are started when the first photo comes, serve every source, and end with this process.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from queue import LifoQueue
from typing import Any

from photoqual.config import PhotosParams
from photoqual.errors import SourceError
from photoqual.photos.decode import WorkingCopy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.look import Look
from photoqual.sources import _wire

PATIENCE_SECONDS = 120.0
"""How long a batch may take; a photo of it that takes as long alone is refused."""
BATCH_PHOTOS, BATCH_BYTES = 64, 1 << 19
"""A batch is full when it holds so many photos, or so many bytes."""
CRASHED, HUNG = "decoder_crashed", "decoder_hung"
"""Why a photo is refused that ended its decoder, or that a decoder did not end with."""


@dataclass(frozen=True)
class Decoded:
    """What became of a photo: its working copy, or the reason why there is none. Without an id its bytes were not read."""

    photo_id: str | None
    copy: WorkingCopy | None = None
    taken_at: datetime | None = None
    refused: str | None = None


class _Worker:
    """One process that decodes."""

    def __init__(self) -> None:
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "photoqual.sources._decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": path},
        )
        if not self._answer():
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip()
            self.end()
            raise SourceError(
                f"The process that decodes photos does not start: {said.splitlines()[-1] if said else 'it says nothing'}.",
                next_step="Install photoqual again, or see what the machine lacks; then run the refresh again.",
                output=said[-4000:],
            )

    def ask(self, photos: Sequence[bytes], params: PhotosParams) -> tuple[list[dict[str, Any]], bytes] | str:
        """Return what the process tells of `photos` and their working copies one after another; or why it does not. It
        must then be ended.
        """
        head = {"params": params.model_dump(mode="json"), "sizes": [len(data) for data in photos]}
        try:
            _wire.write_frame(self._pipe("stdin"), head, b"".join(photos))
        except OSError:
            return CRASHED
        answer = self._answer()
        if answer is None:
            return CRASHED if self.process.poll() is not None else HUNG
        return answer[0]["photos"], answer[1]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._pipe("stdout").close()
        with suppress(OSError):
            self._pipe("stdin").close()
        self._said.close()

    def _answer(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the next frame, or None when the process has ended or does not answer in time."""
        out = self._pipe("stdout")
        if not select.select([out], [], [], PATIENCE_SECONDS)[0]:
            return None
        try:
            frame = _wire.read_frame(out)
        except (OSError, json.JSONDecodeError):
            frame = None
        if frame is None:
            self.process.kill()
            self.process.wait()
        return frame

    def _pipe(self, name: str) -> Any:
        return getattr(self.process, name)


class Decoders:
    """Processes that decode batches of photos. Batches are begun in the order in which they come."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._pool = ThreadPoolExecutor(processes, thread_name_prefix="decoding")
        self._idle: LifoQueue[_Worker | None] = LifoQueue()  # the last to end is asked first: few are started
        self._workers: set[_Worker] = set()
        for _ in range(processes):
            self._idle.put(None)

    @property
    def started(self) -> bool:
        """Tell whether a process runs already."""
        return bool(self._workers)

    def begin(self, photos: Sequence[bytes], params: PhotosParams) -> Future[list[Decoded]]:
        """Return what is to become of `photos`, in their order."""
        return self._pool.submit(self._decode, photos, params)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _decode(self, photos: Sequence[bytes], params: PhotosParams) -> list[Decoded]:
        told = self._ask(photos, params)
        if isinstance(told, str):  # each is asked for again, alone
            sure = len(photos) == 1 and told == HUNG
            return [_decoded(data, told if sure else self._ask([data], params)) for data in photos]
        found, copies = told
        start, decoded = 0, []
        for data, facts in zip(photos, found, strict=True):
            decoded.append(_decoded(data, ([facts], copies[start : start + facts["size"]])))
            start += facts["size"]
        return decoded

    def _ask(self, photos: Sequence[bytes], params: PhotosParams) -> tuple[list[dict[str, Any]], bytes] | str:
        """Ask an idle process, which is started if there is none."""
        worker = self._idle.get()
        try:
            if worker is not None and worker.process.poll() is not None:
                self._drop(worker)
                worker = None
            if worker is None:
                worker = _Worker()
                self._workers.add(worker)
            answer = worker.ask(photos, params)
            if isinstance(answer, str):
                self._drop(worker)
                worker = None
            return answer
        finally:
            self._idle.put(worker)

    def _drop(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        worker.end()


@cache
def shared() -> Decoders:
    """Return the decoders of this process."""
    decoders = Decoders(min(8, os.cpu_count() or 1))
    atexit.register(decoders.close)
    return decoders


def _decoded(data: bytes, answer: tuple[list[dict[str, Any]], bytes] | str) -> Decoded:
    identity = photo_id(data)
    if isinstance(answer, str):
        return Decoded(identity, refused=answer)
    (facts,), jpeg = answer
    if "refused" in facts:
        return Decoded(identity, refused=facts["refused"])
    taken = facts["taken_at"]
    copy = WorkingCopy(jpeg=jpeg, look=Look(**facts["look"]), **facts["copy"])
    return Decoded(identity, copy, taken and datetime.fromisoformat(taken))
