"""A row of the log taken apart for history files, and put together again: users' values go to pack files, and a hash
that only repeats what a value is goes away.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from wfstore.model.events import TASK_DEFINED
from wfstore.schema.columns import EVENT_SCHEMA, TIMESTAMP
from wfstore.schema.history import EVENTS_SCHEMA, HASH_OF_CODE, PACKS_SCHEMA

#: A value inside the JSON of `attributes`, as `wfstore.model.wire.ref_to_json` writes it.
_VALUE = r'("hash":"[0-9a-f]{64}","bytes":[0-9]+),"data":"[A-Za-z0-9+/=]*"'
_MARK = ',"data":"'
#: The hash of a task's arguments, which are in the pack.
_ARGUMENTS = r',"args":"[0-9a-f]{64}"'
_AT_END = rf"^{_ARGUMENTS}\}}$"
_AT_END_BYTES = len(',"args":""}') + 64


def parted(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of `EVENT_SCHEMA` as (rows of EVENTS_SCHEMA, rows of PACKS_SCHEMA)."""
    attributes = pa.concat_arrays([pa.array([], pa.string()), *table.column("attributes").chunks])
    defined = pc.fill_null(pc.equal(table.column("type"), TASK_DEFINED), False).combine_chunks()
    # The few rows that can be concerned, before anything looks into texts.
    texts, inline = attributes.filter(defined), pc.is_valid(table.column("payload").filter(defined)).combine_chunks()
    marked = pc.fill_null(pc.match_substring(texts, _MARK), False)
    holds = pc.replace_with_mask(defined, defined, marked)
    packs = pa.table(
        [
            table.column("workflow_id"),
            table.column("seq"),
            table.column("payload"),
            pc.if_else(holds, attributes, None) if pc.any(marked).as_py() else pa.nulls(table.num_rows, pa.string()),
        ],
        schema=PACKS_SCHEMA,
    ).filter(pc.or_(pc.is_valid(table.column("payload")), holds))
    texts = pc.replace_with_mask(texts, marked, pc.replace_substring_regex(texts.filter(marked), _VALUE, r"\1"))
    texts = pc.replace_with_mask(texts, inline, _without_arguments(texts.filter(inline)))
    table = _with(table, "attributes", pc.replace_with_mask(attributes, defined, texts))
    of_code = pc.is_in(table.column("type"), value_set=pa.array(HASH_OF_CODE))
    hashed = pc.is_valid(table.column("hash"))
    left_out = pc.and_(pc.and_(hashed, pc.is_null(table.column("uri"))), pc.invert(of_code))
    table = _with(table, "hash", pc.if_else(left_out, None, table.column("hash")))
    lag = pc.subtract(table.column("ts").cast(pa.int64()), table.column("ts_source").cast(pa.int64()))
    events = table.drop(["payload"]).append_column("lag_us", lag).append_column("hash_left_out", left_out)
    return events.select(EVENTS_SCHEMA.names).cast(EVENTS_SCHEMA), packs


def for_folds(events: pa.Table) -> pa.Table:
    """Rows of EVENTS_SCHEMA as the folds want them: a hash that was left out is there, but empty."""
    hash_ = pc.if_else(pc.and_(events.column("hash_left_out"), pc.is_null(events.column("hash"))), "", events["hash"])
    return _with_source(_with(events, "hash", hash_)).drop(["hash_left_out"])


def whole(events: pa.Table, packs: pa.Table) -> pa.Table:
    """What `parted` took apart, as rows of `EVENT_SCHEMA` in log order; both are about one and the same few ids.

    A left-out hash is that of the payload, or empty where there is none.
    """
    cells = (packs[name].to_pylist() for name in ("seq", "payload", "attributes"))
    rows = {seq: (payload, text) for seq, payload, text in zip(*cells, strict=True)}
    seqs = events["seq"].to_pylist()
    payloads = [rows.get(seq, (None, None))[0] for seq in seqs]
    digests = [None if payload is None else hashlib.sha256(payload).hexdigest() for payload in payloads]
    hashes = [
        (digest or "") if left_out else hash_
        for hash_, left_out, digest in zip(
            events["hash"].to_pylist(), events["hash_left_out"].to_pylist(), digests, strict=True
        )
    ]
    texts = [
        rows.get(seq, (None, None))[1] or _with_arguments(type_, text, digest)
        for seq, type_, text, digest in zip(
            seqs, events["type"].to_pylist(), events["attributes"].to_pylist(), digests, strict=True
        )
    ]
    table = _with_source(events).drop(["hash_left_out"]).append_column("payload", pa.array(payloads, pa.large_binary()))
    table = _with(table, "hash", pa.array(hashes, pa.string()))
    table = _with(table, "attributes", pa.array(texts, pa.string()))
    return table.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA).sort_by("seq")


def _without_arguments(texts: pa.Array) -> pa.Array:
    # Where the hash comes last, as it does, cutting it off costs a fifth of what replacing it does.
    data = texts.cast(pa.binary())
    at_end = pc.fill_null(pc.match_substring_regex(pc.binary_slice(data, -_AT_END_BYTES), _AT_END), False)
    cut = pc.binary_join_element_wise(pc.binary_slice(data.filter(at_end), 0, -_AT_END_BYTES), b"}", b"")
    rest = pc.invert(at_end)
    elsewhere = pc.replace_substring_regex(texts.filter(rest), _ARGUMENTS, "", max_replacements=1)
    return pc.replace_with_mask(pc.replace_with_mask(texts, at_end, cut.cast(pa.string())), rest, elsewhere)


def _with_arguments(type_: str, text: str | None, digest: str | None) -> str | None:
    if type_ != TASK_DEFINED or digest is None or text is None:
        return text
    return f'{text[:-1]},"args":"{digest}"}}'


def _with_source(events: pa.Table) -> pa.Table:
    """`ts_source` instead of `lag_us`."""
    source = pc.subtract(events.column("ts").cast(pa.int64()), events.column("lag_us")).cast(TIMESTAMP)
    return events.drop(["lag_us"]).append_column("ts_source", source)


def _with(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
