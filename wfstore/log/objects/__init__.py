"""The event log of a store on object storage: one chain of objects, each put only where none is.

The bytes are described in docs/reference/on-disk-format.md, why so in docs/decisions/0009-object-store-log.md.
"""
