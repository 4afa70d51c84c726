"""Small helpers for columns of tables."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def whole(table: pa.Table, name: str) -> pa.Array:
    """Return a column as one array."""
    return table[name].combine_chunks()


def differs(one: pa.Array, other: pa.Array) -> np.ndarray:
    """Return a mask of where two columns differ; null equals null."""
    if pa.types.is_list(one.type):
        if one.null_count == other.null_count == len(one):
            return np.zeros(len(one), dtype=bool)
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.fromiter((mine != yours for mine, yours in pairs), dtype=bool, count=len(one))
    same = pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(pc.is_null(one), pc.is_null(other)))
    return ~np.asarray(same)
