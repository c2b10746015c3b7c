"""The three spellings of options, and what is refused."""

import ray
from prelude import add, identity, outcome, workflow


@workflow.options(task_id="above", metadata={"k": 1})
@ray.remote
def above():
    return 1


@ray.remote(**workflow.options(task_id="inside", catch_exceptions=True))
def inside():
    return 2


@ray.remote(num_returns=2)
def two():
    return 1, 2


@ray.remote
class Actor:
    def method(self):
        return 1


def main(folder):
    report = {"above": workflow.run(above.bind(), workflow_id="above")}
    report["above metadata"] = workflow.get_metadata("above", task_id="above")["user_metadata"]
    report["inside"] = workflow.run(inside.bind(), workflow_id="inside")
    at = identity.options(**workflow.options(task_id="at", metadata={"a": 1}), num_cpus=0.5)
    report["at"] = workflow.run(at.bind(3), workflow_id="at")
    found = workflow.get_metadata("at", task_id="at")
    report["at metadata"] = [found["user_metadata"], found["task_options"]["ray_options"].get("num_cpus")]
    report["unknown key"] = outcome(lambda: workflow.options(bad=1))
    report["metadata no dict"] = outcome(lambda: workflow.options(metadata="x"))
    report["metadata no json"] = outcome(lambda: workflow.options(metadata={"x": object()}))
    report["not remote"] = outcome(lambda: workflow.options(task_id="x")(lambda: 1))
    report["no dag"] = outcome(workflow.run, 1)
    report["class node"] = outcome(workflow.run, Actor.bind())
    report["class node inside"] = outcome(workflow.run, identity.bind(Actor.bind()))
    report["two returns"] = outcome(workflow.run, two.bind())
    report["too few arguments"] = outcome(workflow.run, two.bind(1))
    report["continuation outside"] = workflow.continuation(add.bind(1, identity.bind(2)))
    report["continuation of no dag"] = outcome(workflow.continuation, "x")
    return report
