"""Keys of the metadata by moment, and the errors."""

from pathlib import Path

import ray
from prelude import boom, hold, identity, outcome, wait_for, workflow

TASK_OPTIONS = ("max_retries", "catch_exceptions", "retry_exceptions", "checkpoint")


def stats(*which):
    return sorted(workflow.get_metadata(*which)["stats"])


def main(folder):
    dag = identity.options(**workflow.options(task_id="end", metadata={"t": 1})).bind(
        hold.options(**workflow.options(task_id="held")).bind(folder, "held", 1)
    )
    ref = workflow.run_async(dag, workflow_id="w", metadata={"w": 1})
    wait_for(Path(folder, "held-on"))
    whole = workflow.get_metadata("w")
    report = {"running": [whole["status"], whole["user_metadata"], stats("w"), stats("w", "end")]}
    Path(folder, "held-go").touch()
    ray.get(ref)
    whole, end = workflow.get_metadata("w"), workflow.get_metadata("w", "end")
    report["successful"] = [whole["status"], whole["user_metadata"], stats("w"), stats("w", "end"), stats("w", "held")]
    report["workflow keys"] = sorted(whole)
    report["task"] = [end["task_id"], end["user_metadata"], end["workflow_refs"]]
    report["task keys"] = sorted(end)
    report["task options"] = {key: end["task_options"][key] for key in TASK_OPTIONS}
    outcome(workflow.run, boom.options(**workflow.options(task_id="bad")).bind(), workflow_id="f")
    report["failed"] = [workflow.get_metadata("f")["status"], stats("f"), stats("f", "bad")]
    ref = workflow.run_async(hold.bind(folder, "long"), workflow_id="c")
    wait_for(Path(folder, "long-on"))
    workflow.cancel("c")
    report["canceled"] = [workflow.get_metadata("c")["status"], stats("c")]
    report["no workflow"] = outcome(workflow.get_metadata, "nobody")
    report["no workflow, a task"] = outcome(workflow.get_metadata, "nobody", "task")
    report["no task"] = outcome(workflow.get_metadata, "w", "nothing")
    report["metadata no dict"] = outcome(workflow.run, identity.bind(1), metadata="x")
    workflow.run(identity.bind(1), workflow_id="w", metadata={"again": 1})
    report["metadata given again"] = workflow.get_metadata("w")["user_metadata"]
    return report
