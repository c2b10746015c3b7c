"""Run by a Python that still has ray.workflow: writes one old store with a workflow of every kind.

    python old_program.py STORAGE [COUNT]

The cluster dies by SIGKILL at the end, so that what still runs then is RESUMABLE. A JSON object on stdout says what
ray.workflow itself answered about each workflow. With COUNT it writes that many finished workflows of three tasks.
"""

import json
import os
import signal
import sys
import time

import ray
from ray import workflow

STORAGE = os.path.abspath(sys.argv[1])
FLAGS = os.path.join(os.path.dirname(STORAGE), "flags")  # a task that finds its file there succeeds


class Point:
    """Pickled by value, as the class of a driver's script is."""

    def __init__(self, x, y):
        self.x, self.y = x, y


class Refused(ValueError):
    pass


@ray.remote
def one():
    return 1


@ray.remote
def add(x, y=0):
    return x + y


@ray.remote
def mark(name, value):
    with open(os.path.join(FLAGS, "ran"), "a") as file:
        file.write(name + "\n")
    return value


@ray.remote
def needs(flag, value):
    if not os.path.exists(os.path.join(FLAGS, flag)):
        raise Refused("no " + flag)
    return value


@ray.remote
def waits(flag, value):
    while not os.path.exists(os.path.join(FLAGS, flag)):
        time.sleep(0.05)
    return value


@ray.remote
def flaky():
    path = os.path.join(FLAGS, "flaky")
    if not os.path.exists(path):
        open(path, "w").close()
        raise Refused("once")
    return "at last"


@ray.remote
def factorial(n, so_far=1):
    if n == 1:
        return so_far
    return workflow.continuation(factorial.bind(n - 1, so_far * n))


@ray.remote
def spread(n, flag):
    """A continuation with a fan-in, whose output needs a flag."""
    parts = [mark.bind("part", i) for i in range(n)]
    return workflow.continuation(needs.bind(flag, gather.bind(parts)))


@ray.remote
def gather(parts):
    return sum(ray.get(parts))


@ray.remote
def shapes(direct, nested, *, point, table):
    return [direct, ray.get(nested["a"][0]), point.x, ray.get(table["t"][1]), direct]


@ray.remote
def with_refs():
    return {"refs": [ray.put("inside"), 2]}


@ray.remote
def make_point(x):
    return Point(x, x + 1)


def named(function, task_id, **options):
    return function.options(**workflow.options(task_id=task_id, **options))


def try_run(dag, workflow_id, **options):
    try:
        workflow.run(dag, workflow_id=workflow_id, **options)
    except Exception:
        pass


def run_all():
    chain = named(add, "second", metadata={"rows": 3}).bind(named(one, "first").bind(), y=41)
    workflow.run(chain, workflow_id="done", metadata={"name": "nightly", "owner": "ann"})
    workflow.run(add.bind(add.bind(one.bind(), 1), add.bind(one.bind(), 2)), workflow_id="same-names")
    a, ref = one.bind(), ray.put([7, 8])
    table = {"t": [0, ray.put(9)]}
    workflow.run(shapes.bind(a, {"a": [a]}, point=Point(3, 4), table=table), workflow_id="shapes")
    workflow.run(add.bind(ref, [9]), workflow_id="ref-argument")
    workflow.run(with_refs.bind(), workflow_id="ref-output")
    workflow.run(make_point.bind(5), workflow_id="own-class")
    workflow.run(factorial.bind(5), workflow_id="factorial")
    workflow.run(add.bind(factorial.bind(3), 1), workflow_id="inner-continuation")
    workflow.run(one.options(**workflow.options(checkpoint=False)).bind(), workflow_id="not-kept")
    workflow.run(add.bind(one.options(**workflow.options(checkpoint=False)).bind(), 1), workflow_id="partly-kept")
    workflow.run(factorial.options(**workflow.options(checkpoint=False)).bind(3), workflow_id="continuation-not-kept")
    catch = workflow.options(catch_exceptions=True)
    workflow.run(one.options(**catch).bind(), workflow_id="nothing-to-catch")
    workflow.run(needs.options(**catch).bind("never", 1), workflow_id="caught")
    workflow.run(add.options(**catch).bind(1, 2), workflow_id="team/slash")
    workflow.run(flaky.options(retry_exceptions=True, max_retries=2).bind(), workflow_id="retried")
    try_run(add.bind(needs.bind("half", mark.bind("half", 20)), 1), "failed-half", metadata={"k": [1, None]})
    try_run(spread.bind(3, "spread"), "failed-continuation")
    try_run(spread.options(**catch).bind(2, "never"), "caught-below")
    nested = needs.bind("shapes", shapes.bind(a, {"a": [a]}, point=Point(3, 4), table=table))
    late = shapes.bind(needs.bind("shapes", 1), {"a": [a]}, point=Point(3, 4), table=table)
    try_run(nested, "failed-nested")
    try_run(late, "failed-refs")
    try_run(add.bind(needs.bind("resumed", mark.bind("resumed", 1)), 1), "resumed")
    time.sleep(1.2)
    open(os.path.join(FLAGS, "resumed"), "w").close()
    workflow.resume("resumed")
    workflow.run_async(waits.bind("never", one.bind()), workflow_id="canceled")
    until("canceled", "__main__.waits")
    workflow.cancel("canceled")
    try:
        workflow.cancel("never-there")
    except Exception:
        pass


def until(workflow_id, task_id):
    for _ in range(300):
        try:
            if workflow.get_metadata(workflow_id, task_id)["stats"].get("start_time"):
                return
        except Exception:
            pass
        time.sleep(0.1)
    raise TimeoutError(workflow_id)


def leave_running():
    workflow.run_async(add.bind(waits.bind("go", mark.bind("running", 5)), 1), workflow_id="running")
    workflow.run_async(add.bind(workflow.sleep(3600), 1), workflow_id="sleeping")
    until("running", "__main__.waits")
    workflow.run_async(add.bind(mark.bind("pending", 2), 3), workflow_id="pending")
    time.sleep(1)


def answers():
    found = {}
    for workflow_id, status in workflow.list_all():
        said = {"status": str(getattr(status, "value", status)), "metadata": workflow.get_metadata(workflow_id)}
        if said["status"] == "SUCCESSFUL":
            try:
                said["output"] = repr(workflow.get_output(workflow_id))
            except Exception as error:
                said["output_error"] = type(error).__name__
        found[workflow_id] = said
    found["done"]["tasks"] = {task: workflow.get_metadata("done", task) for task in ("first", "second")}
    return found


def main():
    os.makedirs(FLAGS, exist_ok=True)
    ray.init(address="local", num_cpus=3, include_dashboard=False, storage="file://" + STORAGE, log_to_driver=False)
    workflow.init(max_running_workflows=2, max_pending_workflows=10)
    if len(sys.argv) > 2:
        for i in range(int(sys.argv[2])):
            workflow.run(add.bind(add.bind(one.bind(), i), 1), workflow_id=f"w{i}")
        found = {}
    else:
        run_all()
        leave_running()
        found = answers()
    json.dump(found, sys.stdout)
    sys.stdout.flush()
    for kinds in ray._private.worker._global_node.all_processes.values():
        for kind in kinds:
            os.kill(kind.process.pid, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
