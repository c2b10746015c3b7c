"""The worlds of tests/engine: one local Ray for all tests of this folder, a store and a manager per module."""

from tests.engine.conftest import cluster, make_world, own_world, shared_world, world

__all__ = ["cluster", "make_world", "own_world", "shared_world", "world"]
