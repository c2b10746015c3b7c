"""Statuses by moment, lists and their filters, cancel and delete."""

from pathlib import Path

import ray
from prelude import boom, hold, identity, listed, outcome, status, wait_for, workflow


def main(folder):
    report = {"empty": listed()}
    ref = workflow.run_async(hold.bind(folder, "held", 1), workflow_id="held")
    wait_for(Path(folder, "held-on"))
    report["running"] = [status("held"), listed("RUNNING")]
    report["run again"] = outcome(workflow.run_async, identity.bind(1), workflow_id="held")
    report["resume while running"] = outcome(workflow.resume_async, "held")
    Path(folder, "held-go").touch()
    report["value"] = ray.get(ref)
    report["successful"] = status("held")
    report["another dag"] = workflow.run(identity.bind(2), workflow_id="held")
    report["failed"] = [outcome(workflow.run, boom.bind(), workflow_id="bad")["error"], status("bad")]
    ref = workflow.run_async(hold.bind(folder, "long"), workflow_id="long")
    wait_for(Path(folder, "long-on"))
    workflow.cancel("long")
    report["canceled"] = [status("long"), outcome(ray.get, ref)]
    report["output of a canceled one"] = outcome(workflow.get_output, "long")
    report["all"] = listed()
    report["two kinds"] = listed({"FAILED", workflow.CANCELED})
    report["filter of a wrong type"] = outcome(workflow.list_all, 5)
    report["filter with a wrong element"] = outcome(workflow.list_all, {5})
    report["filter with a wrong word"] = outcome(workflow.list_all, "XX")
    report["unknown"] = status("nobody")
    report["resume of an unknown one"] = outcome(workflow.resume, "nobody")
    report["delete of an unknown one"] = outcome(workflow.delete, "nobody")
    workflow.delete("held")
    report["deleted"] = [status("held"), outcome(workflow.get_output, "held")["error"]]
    report["the id is free"] = workflow.run(identity.bind("new"), workflow_id="held")
    report["id of a wrong type"] = [outcome(workflow.get_status, 5), outcome(workflow.cancel, 5)]
    return report
