"""What arrives of nodes and references, as arguments and inside containers; references as output."""

import ray
from prelude import identity, kind, workflow


@ray.remote
def kinds(*values, **named):
    return [kind(value) for value in [*values, *named.values()]]


@ray.remote
def inside(container):
    return [kind(ray.get(item)) for item in (container.values() if isinstance(container, dict) else container)]


@ray.remote
def makes():
    return ray.put(42)


@ray.remote
def goes_on():
    return workflow.continuation(identity.bind(4))


@ray.remote
def returns_node():
    return identity.bind(5)


def main(folder):
    ref, node = ray.put(1), identity.bind(2)
    report = {
        "top level": workflow.run(kinds.bind(ref, node, a=ref, b=node)),
        "list": workflow.run(kinds.bind([ref, node], (node,))),
        "values inside": workflow.run(inside.bind([ref, node, node])),
        "dict": workflow.run(inside.bind({"a": node, "b": ref})),
        "returned reference": workflow.run(kinds.bind(makes.bind())),
        "returned continuation": workflow.run(kinds.bind(goes_on.bind(), returns_node.bind())),
        "continuation in a list": workflow.run(inside.bind([goes_on.bind()])),
    }
    output = workflow.run(makes.bind(), workflow_id="ref")
    report["reference as output"] = [kind(output), ray.get(output)]
    return report
