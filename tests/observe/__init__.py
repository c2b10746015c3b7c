"""Observing a store and its manager, without Ray."""
