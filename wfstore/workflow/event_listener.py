"""What to subclass to wait for an event."""

from wfstore.engine.listeners.api import EventListener, TimerListener

__all__ = ["EventListener", "TimerListener"]
