"""What callers get of a failure: from run, references, get_output; and the texts."""

import ray
from prelude import boom, identity, noted, outcome, status, workflow


def main(folder):
    log = folder + "/log"
    dag = boom.options(**workflow.options(task_id="bad")).bind(
        noted.options(**workflow.options(task_id="fine")).bind(log, "fine", 5)
    )
    report = {"run": outcome(workflow.run, dag, workflow_id="failed")}
    report["reference"] = outcome(lambda: ray.get(workflow.run_async(boom.bind(), workflow_id="async")))
    report["status"] = [status("failed"), status("async")]
    report["output"] = outcome(workflow.get_output, "failed")["error"]
    report["output of the failed task"] = outcome(workflow.get_output, "failed", task_id="bad")["error"]
    report["output of a finished task"] = outcome(workflow.get_output, "failed", task_id="fine")
    report["resume"] = outcome(workflow.resume, "failed")
    report["unknown workflow"] = outcome(workflow.get_output, "nobody")
    workflow.run(identity.bind(1), workflow_id="w")
    report["unknown task"] = outcome(workflow.get_output, "w", task_id="non_exist")
    return report
