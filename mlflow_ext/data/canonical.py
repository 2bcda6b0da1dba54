"""One name and one byte form for each logical value, however Arrow happens to store it.

Two columns hold the same content when they have the same logical type and the same values.
Chunks, dictionaries (pandas categories), run ends, 32 or 64 bit offsets, views, padding and
whatever lies under a null are storage, not content; so are the seconds that Parquet can only keep
as milliseconds.
"""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as kind

from mlflow_ext.errors import TableError

Bytes = npt.NDArray[np.uint8]
NO_BYTES: Bytes = np.empty(0, np.uint8)


class Parts(NamedTuple):
    """The content of an array without nulls: together they determine every value."""

    lengths: Bytes
    """Lengths of texts or lists, 64 bit little-endian; empty for other types."""
    data: Bytes
    """The values, little-endian, one after the other; empty for nested types."""
    children: list[pa.Array]
    """The values inside lists (end to end), the fields of structs."""


def is_text(dtype: pa.DataType) -> bool:
    """Tell whether *dtype* holds strings, in any of Arrow's layouts."""
    return bool(kind.is_string(dtype) or kind.is_large_string(dtype) or kind.is_string_view(dtype))


def is_bytes(dtype: pa.DataType) -> bool:
    """Tell whether *dtype* holds byte strings of any length, in any of Arrow's layouts."""
    return bool(kind.is_binary(dtype) or kind.is_large_binary(dtype) or kind.is_binary_view(dtype))


def is_sequence(dtype: pa.DataType) -> bool:
    """Tell whether *dtype* holds lists of any length, in any of Arrow's layouts."""
    is_view = kind.is_list_view(dtype) or kind.is_large_list_view(dtype)
    return bool(kind.is_list(dtype) or kind.is_large_list(dtype) or is_view)


def logical_type(dtype: pa.DataType) -> str:
    """Name a type by what it means, not by how it is stored.

    Raises:
        TableError: Arrow alone does not know what the type means (unions, Python extensions).

    >>> logical_type(pa.dictionary(pa.int8(), pa.large_string()))
    'string'
    """
    dtype = _unwrapped(dtype)
    if is_text(dtype) or is_bytes(dtype):
        return "string" if is_text(dtype) else "binary"
    if kind.is_decimal(dtype):
        return f"decimal({dtype.precision}, {dtype.scale})"
    if kind.is_nested(dtype):
        return _nested_type(dtype)
    if isinstance(dtype, pa.BaseExtensionType):
        return _extension_type(dtype)
    return str(_stored_type(dtype))


def child_types(dtype: pa.DataType) -> list[pa.DataType]:
    """Return the types of `Parts.children` for a column of *dtype*."""
    dtype = _unwrapped(dtype)
    if isinstance(dtype, pa.BaseExtensionType):
        return child_types(dtype.storage_type)
    if kind.is_map(dtype):
        return [dtype.key_type, dtype.item_type]
    return [dtype.field(i).type for i in range(dtype.num_fields)]


def unpack(array: pa.Array) -> pa.Array:
    """Return *array* in the one storage form of its logical type, its outermost level only."""
    if isinstance(array.type, pa.BaseExtensionType):
        return unpack(array.storage)
    if kind.is_dictionary(array.type):
        return unpack(array.dictionary_decode())
    if kind.is_run_end_encoded(array.type):
        return unpack(pc.run_end_decode(array))
    stored = _stored_type(array.type)
    return array if stored == array.type else array.cast(stored)


def take_apart(array: pa.Array) -> Parts:
    """Split an unpacked array without nulls into its bytes and children."""
    if kind.is_large_binary(array.type):
        return _binary_parts(array)
    if kind.is_map(array.type):
        offsets = array.offsets.to_numpy()
        inside = slice(offsets[0], offsets[-1])  # keys and items are those of the unsliced array
        entries = [array.keys[inside], array.items[inside]]
        return Parts(little_endian(np.diff(offsets)), NO_BYTES, entries)
    if is_sequence(array.type) or kind.is_fixed_size_list(array.type):
        lengths = pc.list_value_length(array).to_numpy()
        return Parts(little_endian(lengths), NO_BYTES, [array.flatten()])
    if kind.is_struct(array.type):
        return Parts(NO_BYTES, NO_BYTES, array.flatten())
    return Parts(NO_BYTES, _fixed_width(array), [])


def little_endian(numbers: npt.NDArray[np.integer]) -> Bytes:
    """Return *numbers* as the bytes of 64 bit little-endian integers."""
    return np.ascontiguousarray(numbers, dtype="<i8").view(np.uint8)


def _unwrapped(dtype: pa.DataType) -> pa.DataType:
    encoded = kind.is_dictionary(dtype) or kind.is_run_end_encoded(dtype)
    return _unwrapped(dtype.value_type) if encoded else dtype


def _nested_type(dtype: pa.DataType) -> str:
    inner = [logical_type(child) for child in child_types(dtype)]
    if kind.is_struct(dtype):
        # Quoted: a field named 'a: int8, b' must not read like two fields.
        names = [json.dumps(dtype.field(i).name) for i in range(dtype.num_fields)]
        inner = [f"{name}: {child}" for name, child in zip(names, inner, strict=True)]
        return f"struct<{', '.join(inner)}>"
    if kind.is_map(dtype):
        return f"map<{', '.join(inner)}>"
    if kind.is_fixed_size_list(dtype):
        return f"list<{inner[0]}>[{dtype.list_size}]"
    if is_sequence(dtype):
        return f"list<{inner[0]}>"
    raise _unsupported(dtype)


def _extension_type(dtype: pa.BaseExtensionType) -> str:
    # Python defines these at run time: another process may read the same file without them.
    if isinstance(dtype, pa.ExtensionType):
        raise _unsupported(dtype)
    return f"{dtype} of {logical_type(dtype.storage_type)}"


def _unsupported(dtype: pa.DataType) -> TableError:
    fix = "convert the column, e.g. periods with .dt.to_timestamp() or intervals to two columns"
    return TableError("to fingerprint", f"a column of type {dtype}", "types Arrow defines", fix)


def _stored_type(dtype: pa.DataType) -> pa.DataType:
    if is_text(dtype) or is_bytes(dtype):
        return pa.large_binary()
    if kind.is_boolean(dtype):
        return pa.uint8()
    if kind.is_decimal(dtype):
        width = pa.decimal128 if dtype.precision <= 38 else pa.decimal256
        return width(dtype.precision, dtype.scale)
    return _without_views(dtype) if kind.is_nested(dtype) else _parquet_type(dtype)


def _without_views(dtype: pa.DataType) -> pa.DataType:
    """Arrow cannot pick rows of views, not even of those inside lists and structs."""
    if kind.is_string_view(dtype) or kind.is_binary_view(dtype):
        return pa.large_binary()
    inner = [_without_views(child) for child in child_types(dtype)]
    if kind.is_struct(dtype):
        return pa.struct([field.with_type(t) for field, t in zip(dtype, inner, strict=True)])
    if kind.is_map(dtype):
        return pa.map_(*inner)
    if kind.is_fixed_size_list(dtype):
        return pa.list_(*inner, dtype.list_size)
    # Views of lists stay: Arrow 25 loses values when it casts them.
    is_plain = kind.is_list(dtype) or kind.is_large_list(dtype)
    return pa.large_list(*inner) if is_plain else dtype


def _parquet_type(dtype: pa.DataType) -> pa.DataType:
    """Parquet has no seconds and no date in milliseconds: both come back changed."""
    if kind.is_timestamp(dtype) and dtype.unit == "s":
        return pa.timestamp("ms", dtype.tz)
    if dtype == pa.time32("s"):
        return pa.time32("ms")
    return pa.date32() if kind.is_date64(dtype) else dtype


def _binary_parts(array: pa.Array) -> Parts:
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(array) + 1, array.offset * 8)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else NO_BYTES
    return Parts(little_endian(np.diff(offsets)), data[offsets[0] : offsets[-1]], [])


def _fixed_width(array: pa.Array) -> Bytes:
    if len(array) == 0:
        return NO_BYTES
    width = array.type.bit_width // 8
    data = np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width)
    if kind.is_floating(array.type):
        data = _one_nan(data.view(f"f{width}")).view(np.uint8)
    if sys.byteorder == "big" and not kind.is_fixed_size_binary(array.type):
        data = data.reshape(-1, width)[:, ::-1].reshape(-1)
    return data


def _one_nan(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Give every NaN the same bits: sign and payload differ between processors."""
    nan = np.isnan(values)
    return np.where(nan, np.array(np.nan, values.dtype), values) if nan.any() else values
