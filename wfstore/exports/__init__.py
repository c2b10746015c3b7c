"""Workflows of a store, written in the formats of other systems. It reads history only: no Ray, and no values."""

from wfstore.exports.wfformat import to_wfformat

__all__ = ["to_wfformat"]
