"""Parquet files as records, a lot of rows at a time. Needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.clock import to_rfc3339
from app.importing.records import OWN, BadFile, BadLine, Columns, Many, Preset, Record
from app.importing.rows import json_or_text

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

T = TypeVar("T")

ROWS_AT_ONCE = 10_000
# What one column of one row group may take in memory.
MAX_COLUMN_BYTES = 512 * 1024 * 1024
# A megabyte can hold a hundred million equal rows; a log of interactions is never as dull as that.
MAX_ROWS_PER_BYTE = 16
_JSON_COLUMNS = {"context", "metadata"}
_TIMES = {"timestamp", "available_from", "available_until"}
# Microseconds as a multiple and a part of Arrow's units.
_SCALES = {"s": (10**6, 1), "ms": (10**3, 1), "us": (1, 1), "ns": (1, 10**3)}
_YEAR_10000_US = 253_402_300_800 * 10**6


class ParquetRecords:
    """The records of one Parquet file; iterate once. A record's line is the number of its row, counted from 1.

    Args:
        columns: those that the file may have; required: those that it must.
        preset: what the columns are called.
    Raises: BadFile when the file cannot be opened or is none, holds more than it can, or lacks columns; ImportError
        without the extra.
    """

    def __init__(
        self, path: Path, *, columns: Collection[str], required: Collection[str] = (), preset: Preset = OWN
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Arrow's own allocator keeps what it frees.
        pa.set_memory_pool(pa.system_memory_pool())
        self._name = path.name
        self._preset = preset
        self._failures = (pa.ArrowException, OSError, ValueError, NotImplementedError)
        try:
            size = path.stat().st_size
            texts = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
            # Texts as they are stored, where each stands once however many rows have it. What is read ahead would be
            # kept to the end of the file.
            self._file: pq.ParquetFile = pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False)
        except self._failures as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a Parquet file"
            raise BadFile(self._name, reason) from error
        self.size = self._file.metadata.num_rows
        self.position = 0
        if self.size > MAX_ROWS_PER_BYTE * size:
            raise BadFile(self._name, f"it claims {self.size} rows in {size} bytes; that is no log of anything")
        self._names = self._named(columns, required)
        self._check_sizes()
        types = {ours: self._file.schema_arrow.field(name).type for name, ours in self._names.items()}
        self._microseconds = "timestamp" in types and pa.types.is_timestamp(types["timestamp"])

    def __enter__(self) -> ParquetRecords:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def parts(self, many: Callable[[Many], T | None]) -> Iterator[T | Record | BadLine]:
        """The records, or what `many` makes of a lot of them. Raises: BadFile for what cannot be read on."""
        import pyarrow as pa

        try:
            # One thread: each keeps some memory of its own.
            for batch in self._file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(self._names), use_threads=False):
                fields = self._fields(batch)
                if (found := many(Columns(fields, self._microseconds))) is None:
                    yield from self._records(fields)
                else:
                    self.position += batch.num_rows
                    yield found
            pa.default_memory_pool().release_unused()
        except self._failures as error:
            raise BadFile(self._name, f"a row from {self.position + 1} on cannot be read") from error

    def _named(self, columns: Collection[str], required: Collection[str]) -> Mapping[str, str]:
        """Its columns -> ours."""
        found: dict[str, str] = {}
        for name in self._file.schema_arrow.names:
            ours = self._preset.column(name)
            if ours is None:
                continue
            if ours not in columns:
                known = ", ".join(columns)
                raise BadFile(self._name, f"the column {name[:64]!a} is not known; columns are {known}")
            if ours in found.values():
                raise BadFile(self._name, f"two columns stand for {ours}")
            found[name] = ours
        if missing := [name for name in required if name not in found.values()]:
            theirs = next((other for other, ours in self._preset.names.items() if ours == missing[0]), missing[0])
            raise BadFile(self._name, f"the column {theirs} is missing")
        for name, ours in found.items():
            self._check_type(ours, self._file.schema_arrow.field(name).type)
        return found

    def _check_type(self, ours: str, kind: pa.DataType) -> None:
        import pyarrow.types as of

        if not of.is_timestamp(kind):
            return
        if ours not in _TIMES:
            raise BadFile(self._name, f"{ours} holds times")
        if kind.tz is None:
            told = f"the times of {ours} have no time zone; write them with one, for example UTC"
            raise BadFile(self._name, told)

    def _check_sizes(self) -> None:
        metadata = self._file.metadata
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for column in range(row_group.num_columns):
                found = row_group.column(column)
                if self._is_read(found.path_in_schema) and found.total_uncompressed_size > MAX_COLUMN_BYTES:
                    told = f"a row group holds over {MAX_COLUMN_BYTES} bytes of one column; write smaller row groups"
                    raise BadFile(self._name, told)

    def _is_read(self, path: str) -> bool:
        """Whether a part of the file is a column that is taken, or lies within one."""
        return any(path == name or path.startswith(f"{name}.") for name in self._names)

    def _fields(self, batch: pa.RecordBatch) -> dict[str, list[Any]]:
        fields = {self._names[name]: column for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        found = {name: _values(name, column) for name, column in fields.items()}
        for name, change in self._preset.cells.items():
            if name in found:
                found[name] = [(change(one) or None) if isinstance(one, str) else one for one in found[name]]
        return found

    def _records(self, fields: Mapping[str, list[Any]]) -> Iterator[Record]:
        for row in zip(*fields.values(), strict=True):
            self.position += 1
            record = {name: value for name, value in zip(fields, row, strict=True) if value is not None}
            if self._microseconds and "timestamp" in record:
                record["timestamp"] = _moment(record["timestamp"])
            yield Record(self.position, record)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as of

    return bool(of.is_string(kind) or of.is_large_string(kind))


def _values(name: str, column: pa.Array) -> list[Any]:
    """What each row has, as JSON would have it; None for nothing."""
    import pyarrow as pa
    import pyarrow.types as of

    if of.is_timestamp(column.type):
        scale, part = _SCALES[column.type.unit]
        values: list[Any] = column.cast(pa.int64()).to_pylist()
        # With integers of any size: those of numpy and Arrow start anew beyond the last year that they hold.
        values = [None if one is None else one * scale // part for one in values]
        return values if name == "timestamp" else [None if us is None else _moment(us) for us in values]
    if of.is_decimal(column.type):
        column = column.cast(pa.float64())
    if of.is_dictionary(column.type):
        known = column.dictionary.to_pylist()
        values = [None if place is None else known[place] for place in column.indices.to_pylist()]
    else:
        values = column.to_pylist()
    if name in _JSON_COLUMNS:
        return [json_or_text(one) if isinstance(one, str) else one for one in values]
    return values


def _moment(us: int) -> str | int:
    """A time as text; beyond the calendar a number that no rule takes."""
    return to_rfc3339(us) if 0 <= us < _YEAR_10000_US else us
