"""The rules: pure functions over plain values. No clock, no I/O, no third-party import.

``decide(state, command, now)`` returns the events a command causes, or raises; ``apply(state, event)`` takes an event
in and cannot refuse. Recovery, live state and SQL are folds of the same events.
"""
