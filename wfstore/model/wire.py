"""How values of the model are written into the JSON of an event's ``attributes``, and read back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from wfstore.model.dag import RetryPolicy, TaskOptions
from wfstore.model.payload import PayloadRef

_DEFAULTS = TaskOptions()


def dumps(attributes: Mapping[str, Any]) -> str:
    """Compact JSON; what is None or an empty collection is left out."""
    kept = {key: value for key, value in attributes.items() if value is not None and value != [] and value != {}}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def ref_to_json(ref: PayloadRef | None) -> dict[str, Any] | None:
    """A payload reference; inline bytes as base64."""
    if ref is None:
        return None
    out: dict[str, Any] = {"hash": ref.hash, "bytes": ref.bytes}
    if ref.data is not None:
        out["data"] = base64.b64encode(ref.data).decode()
    return out


def ref_from_json(value: Mapping[str, Any] | None) -> PayloadRef | None:
    if value is None:
        return None
    data = value.get("data")
    return PayloadRef(value["hash"], value["bytes"], None if data is None else base64.b64decode(data))


def refs_from_json(values: Sequence[Mapping[str, Any]]) -> list[PayloadRef]:
    return [ref for ref in map(ref_from_json, values) if ref is not None]


def options_to_json(options: TaskOptions) -> dict[str, Any]:
    """Only what differs from the defaults, so that a plain task costs nothing."""
    if options is _DEFAULTS:
        return {}
    out: dict[str, Any] = {}
    if options.max_retries != _DEFAULTS.max_retries:
        out["max_retries"] = options.max_retries
    if options.retry_exceptions is not False:
        retry = options.retry_exceptions
        out["retry_exceptions"] = True if retry is True else ref_to_json(retry)
    if options.catch_exceptions is not None:
        out["catch_exceptions"] = options.catch_exceptions
    if options.checkpoint is not None:
        out["checkpoint"] = options.checkpoint
    if options.ray_options:
        out["ray_options"] = dict(options.ray_options)
    if options.ray_options_pickled is not None:
        out["ray_options_pickled"] = ref_to_json(options.ray_options_pickled)
    if options.retry != _DEFAULTS.retry:
        out["retry"] = options.retry._asdict()
    for key in ("timeout_s", "inplace", "interruptible"):
        if getattr(options, key):
            out[key] = getattr(options, key)
    return out


def options_from_json(value: Mapping[str, Any] | None) -> TaskOptions:
    if not value:
        return _DEFAULTS
    retry = value.get("retry_exceptions", False)
    return TaskOptions(
        max_retries=value.get("max_retries", _DEFAULTS.max_retries),
        retry_exceptions=retry if isinstance(retry, bool) else (ref_from_json(retry) or False),
        catch_exceptions=value.get("catch_exceptions"),
        checkpoint=value.get("checkpoint"),
        ray_options=value.get("ray_options", {}),
        ray_options_pickled=ref_from_json(value.get("ray_options_pickled")),
        retry=RetryPolicy(**value["retry"]) if "retry" in value else _DEFAULTS.retry,
        timeout_s=value.get("timeout_s"),
        inplace=value.get("inplace", False),
        interruptible=value.get("interruptible", False),
    )
