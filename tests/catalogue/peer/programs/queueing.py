"""Limits: what runs, what waits, what is refused, and init again."""

from pathlib import Path

import ray
from prelude import hold, identity, listed, outcome, status, workflow

LIMITS = {"max_running_workflows": 2, "max_pending_workflows": 1}


def main(folder):
    report = {
        "float": outcome(workflow.init, max_running_workflows=1.7)["error"],
        "zero": outcome(workflow.init, max_running_workflows=0)["error"],
        "negative": outcome(workflow.init, max_pending_workflows=-2)["error"],
        "positional": outcome(workflow.init, 1, 2)["error"],
        "same": outcome(workflow.init, **LIMITS),
        "None": outcome(workflow.init),
        "other": outcome(workflow.init, max_running_workflows=3)["error"],
    }
    refs = [workflow.run_async(hold.bind(folder, name, name), workflow_id=name) for name in "abc"]
    report["statuses"] = [status(name) for name in "abc"]
    report["full"] = outcome(workflow.run_async, identity.bind(1), workflow_id="d")
    report["refused"] = status("d")
    report["pending"] = sorted(workflow.get_metadata("c")["stats"])
    Path(folder, "a-go").touch()
    report["a"] = ray.get(refs[0])
    report["next"] = [status("b"), status("c")]
    Path(folder, "b-go").touch()
    Path(folder, "c-go").touch()
    report["rest"] = ray.get(refs[1:])
    report["all"] = listed()
    report["the refused id"] = workflow.run(identity.bind(1), workflow_id="d")
    return report
