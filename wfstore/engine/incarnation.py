"""Whether this process is still the one that Ray means by its actor.

Ray starts an actor anew elsewhere when its node has not answered for a while. The node may be alive nevertheless, and
the actor on it: then there are two processes, and whatever is said to the actor reaches the newer one.
"""

from __future__ import annotations

import os

import ray
from ray._private import state


def is_replaced() -> bool:
    """Ray has given this actor's process up, and has begun another one or is about to. Asks the head, and waits for it.

    False also where the head does not answer: Ray's own commands would not reach it either.
    """
    context = ray.get_runtime_context()
    try:
        facts = state.actors(context.get_actor_id())
        there = facts["Address"]["NodeID"], facts["Pid"]
    except Exception:  # whatever Ray raises for a head that is gone
        return False
    return facts["State"] != "ALIVE" or there != (context.get_node_id(), os.getpid())
