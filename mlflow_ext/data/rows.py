"""A digest of rows as a multiset: their order does not count, their number does.

Every row is written as bytes that tell all its values apart, hashed with BLAKE2b-512, and the
hashes are added modulo 2**512 (AdHash). Whole rows are hashed, so permuting one column alone
changes the sum; a sum counts duplicates, which XOR would cancel.

Chance collisions are out of reach (2**-256 in the final SHA-256). An adversary who may choose
millions of rows freely has an easier problem than breaking BLAKE2b, the generalised birthday
problem: about 2**45 steps with 2**22 chosen rows. Where that matters use an ordered fingerprint.

Source: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997 (AdHash);
Wagner, "A Generalized Birthday Problem", 2002.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as kind

from mlflow_ext.data.canonical import Bytes, Parts, child_types, take_apart, unpack

ROWS_AT_ONCE = 65_536
MODULUS = 2**512


class RowsDigest:
    """The running digest of a multiset of rows."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, table: pa.Table) -> None:
        """Add the rows of *table*."""
        for batch in table.to_batches(ROWS_AT_ONCE):
            self._sum += _sum_of_hashes(_written(batch.columns, batch.num_rows))

    def hexdigest(self) -> str:
        """Return the sum of all hashes modulo 2**512, in hex."""
        return f"{self._sum % MODULUS:x}"


def _written(columns: list[pa.Array], rows: int) -> pa.LargeBinaryArray:
    """Write each row as bytes; their end, and that of every value, can be told from themselves."""
    heads, tails = [np.empty((rows, 0), np.uint8)], []
    for column in map(unpack, columns):
        parts = take_apart(column.drop_null())
        present = column.is_valid().to_numpy(zero_copy_only=False)
        heads.append(_head(column.type, parts, present))
        tails += [_spread(tail, present) for tail in _tail(parts)]
    head = np.hstack(heads)
    return _join([_split(head.ravel(), np.full(rows, head.shape[1])), *tails])


def _head(dtype: pa.DataType, parts: Parts, present: npt.NDArray[np.bool_]) -> Bytes:
    """What has the same width in every row: is there a value, its length or the value itself."""
    has_length = kind.is_large_binary(dtype) or (child_types(dtype) and not kind.is_struct(dtype))
    width = 8 if has_length else _width(dtype)
    head = np.zeros((len(present), 1 + width), np.uint8)
    head[present, 0] = 1
    values = parts.lengths if has_length else parts.data
    head[present, 1:] = values.reshape(np.count_nonzero(present), width)
    return head


def _width(dtype: pa.DataType) -> int:
    return 0 if kind.is_struct(dtype) or kind.is_null(dtype) else dtype.bit_width // 8


def _tail(parts: Parts) -> list[pa.LargeBinaryArray]:
    """What has a width of its own in every row: texts, and the insides of lists and structs."""
    lengths = parts.lengths.view("<i8")
    if parts.children:
        inner = _written(parts.children, len(parts.children[0]))
        return [_grouped(inner, lengths) if lengths.size else inner]
    return [_split(parts.data, lengths)] if lengths.size else []


def _spread(values: pa.LargeBinaryArray, present: npt.NDArray[np.bool_]) -> pa.LargeBinaryArray:
    if present.all():
        return values
    empty = pa.repeat(pa.scalar(b"", pa.large_binary()), len(present))
    return pc.replace_with_mask(empty, pa.array(present), values)


def _split(data: Bytes, lengths: npt.NDArray[np.integer]) -> pa.LargeBinaryArray:
    buffers = [None, pa.py_buffer(_offsets(lengths)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(lengths), buffers)


def _grouped(values: pa.LargeBinaryArray, lengths: npt.NDArray[np.integer]) -> pa.LargeBinaryArray:
    """Put the bytes of neighbouring values together: only the offsets in between fall away."""
    _, offset_buffer, data = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[values.offset :][_offsets(lengths)]
    buffers = [None, pa.py_buffer(offsets), data]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(lengths), buffers)


def _offsets(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _join(pieces: list[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))


def _sum_of_hashes(rows: pa.LargeBinaryArray) -> int:
    _, offset_buffer, data_buffer = rows.buffers()
    data = memoryview(data_buffer)
    offsets = np.frombuffer(offset_buffer, np.int64, len(rows) + 1, rows.offset * 8).tolist()
    hashes = b"".join([hashlib.blake2b(data[a:b]).digest() for a, b in pairwise(offsets)])
    lanes = np.frombuffer(hashes, "<u4").reshape(len(rows), -1).sum(axis=0, dtype=np.uint64)
    return sum(int(lane) << (32 * place) for place, lane in enumerate(lanes))
