"""The older face of the engine: ``from wfstore.legacy import workflow``."""

from wfstore.legacy import workflow

__all__ = ["workflow"]
