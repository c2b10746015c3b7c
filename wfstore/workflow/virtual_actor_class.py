"""Names that programs written for virtual actors import from here."""

from wfstore.engine.actors.handle import VirtualActor, VirtualActorClass
from wfstore.errors import VirtualActorNotInitializedError

__all__ = ["VirtualActor", "VirtualActorClass", "VirtualActorNotInitializedError"]
