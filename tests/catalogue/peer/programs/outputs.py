"""get_output by workflow and task, before, while and after it runs."""

from pathlib import Path

import ray
from prelude import hold, identity, outcome, wait_for, workflow


@ray.remote
def goes_on(folder, value):
    return workflow.continuation(hold.options(**workflow.options(task_id="inner")).bind(folder, "inner", value))


def timed_out(ref):
    return ray.wait([ref], timeout=0.3)[0] == []


def main(folder):
    first = hold.options(**workflow.options(task_id="first")).bind(folder, "first", 7)
    outer = goes_on.options(**workflow.options(task_id="outer")).bind(folder, first)
    ref = workflow.run_async(outer, workflow_id="w")
    wait_for(Path(folder, "first-on"))
    unborn = workflow.get_output_async("w", task_id="inner")
    missing = workflow.get_output_async("w", task_id="missing")
    report = {"early": [timed_out(unborn), timed_out(missing)]}
    Path(folder, "first-go").touch()
    report["first"] = workflow.get_output("w", task_id="first")
    Path(folder, "inner-go").touch()
    report["end"] = [ray.get(unborn), ray.get(ref), workflow.get_output("w"), workflow.get_output("w", task_id="outer")]
    report["missing"] = outcome(ray.get, missing)["error"]
    values = []
    for n in range(10):
        workflow.run_async(identity.bind(n), workflow_id=f"race{n}")
        values.append(workflow.get_output(f"race{n}"))
    report["race"] = values
    return report
