"""Small pictures of the photos to label, made before they are needed and kept in memory for a while."""

import io
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from photoqual.errors import DataError, UnreadablePhoto
from photoqual.labels.desk_photos import LIMITS, Photos, read_photo
from photoqual.photos.decode import open_photo

_HELD = 200
_QUALITY = 85


class Pictures:
    """Pictures of `photos`. Safe among threads."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._held: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="label-pictures")

    def get(self, photo: str, side: int) -> bytes:
        """Return `photo` as JPEG of at most `side` px. Raise UnreadablePhoto."""
        return self._asked(photo, side).result()

    def prepare(self, photos: Iterable[str], side: int) -> None:
        """Begin to make the pictures of `photos`."""
        for photo in photos:
            self._asked(photo, side)

    def ready(self, photos: Iterable[str], side: int) -> list[bytes]:
        """Return those pictures of `photos` that are made already."""
        asked = [self._asked(photo, side) for photo in photos]
        return [future.result() for future in asked if future.done() and future.exception() is None]

    def _asked(self, photo: str, side: int) -> Future[bytes]:
        with self._lock:
            future = self._held.get((photo, side))
            if future is None:
                future = self._held[photo, side] = self._pool.submit(self._make, photo, side)
                while len(self._held) > _HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end((photo, side))
            return future

    def _make(self, photo: str, side: int) -> bytes:
        try:
            data = read_photo(self._photos, photo)
        except DataError as error:
            raise UnreadablePhoto(error.details["reason"], error.message) from None
        image, _ = open_photo(data, LIMITS, max_side=side)
        encoded = io.BytesIO()
        image.info = {}
        image.save(encoded, "JPEG", quality=_QUALITY)
        return encoded.getvalue()
