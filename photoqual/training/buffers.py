"""Memory of batches that nobody holds any more, used again: the system clears fresh memory, which takes as long as
filling it with pixels.
"""

import ctypes
import math
import weakref
from collections import deque

import numpy as np

_KEPT = 8


class Buffers:
    """Gives float32 arrays whose memory comes back by itself with the last array that looks at it. Threads may share
    it; what it keeps for later goes with it.
    """

    def __init__(self) -> None:
        self._free: deque[np.ndarray] = deque(maxlen=_KEPT)

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return a float32 array of `shape` with anything in it."""
        count = math.prod(shape)
        block = self._take(4 * count)
        # views keep what their memory belongs to, so that the lease ends with the last of them
        lease = (ctypes.c_char * block.nbytes).from_buffer(block.data)
        weakref.finalize(lease, self._free.append, block).atexit = False
        return np.frombuffer(memoryview(lease), np.float32, count).reshape(shape)

    def _take(self, size: int) -> np.ndarray:
        """Return a block of at least `size` bytes. Blocks may come back at any moment, so no lock is held."""
        for _ in range(_KEPT):
            try:
                block = self._free.popleft()
            except IndexError:
                break
            if size <= block.nbytes <= 2 * size:
                return block
            self._free.append(block)
        return np.empty(size, np.uint8)
