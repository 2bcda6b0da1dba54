"""SHA-256 of columns in row order, fed batch by batch.

Each level of a column is three streams of bytes: where its nulls are, how long its texts or lists
are, and the values that are not null. A stream does not know where one batch ended and the next
began, so neither does the digest.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from mlflow_ext.data.canonical import child_types, little_endian, logical_type, take_apart, unpack


class ColumnDigest:
    """The running digest of one column, or of one level of a nested column.

    Args:
        dtype: Arrow type of the column, in any storage form.
    """

    def __init__(self, dtype: pa.DataType) -> None:
        self._dtype = logical_type(dtype)
        self._rows = 0
        self._nulls = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._data = hashlib.sha256()
        self._children = [ColumnDigest(child) for child in child_types(dtype)]

    def update(self, values: pa.ChunkedArray) -> None:
        """Add the next values of the column."""
        for chunk in values.chunks:
            self._add(unpack(chunk))

    def hexdigest(self) -> str:
        """Return the SHA-256 of type and values, 64 hex digits."""
        return hashlib.sha256(self._dtype.encode() + self.digest()).hexdigest()

    def digest(self) -> bytes:
        """Return the SHA-256 of everything added so far, 32 bytes."""
        own = [stream.digest() for stream in (self._nulls, self._lengths, self._data)]
        inner = [child.digest() for child in self._children]
        rows = self._rows.to_bytes(8, "little")
        return hashlib.sha256(rows + b"".join(own + inner)).digest()

    def _add(self, array: pa.Array) -> None:
        if array.null_count:
            # Absolute positions: a column without nulls costs nothing here.
            missing = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
            self._nulls.update(little_endian(missing + self._rows).data)
        self._rows += len(array)
        parts = take_apart(array.drop_null() if array.null_count else array)
        self._lengths.update(parts.lengths.data)
        self._data.update(parts.data.data)
        for child, values in zip(self._children, parts.children, strict=True):
            child._add(unpack(values))
