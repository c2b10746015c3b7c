"""How often a task runs, for exceptions and for crashes."""

import os
import signal

import ray
from prelude import lines, note, workflow


@ray.remote
def staged(path, script):
    note(path, "x")
    action = script[lines(path)["x"] - 1 :][:1]
    if action == "k":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "x":
        raise ValueError(script)
    return "done"


CASES = {
    "two of two": ("xx", {"max_retries": 2, "retry_exceptions": True}),
    "three of two": ("xxx", {"max_retries": 2, "retry_exceptions": True}),
    "default": ("xxxx", {"retry_exceptions": True}),
    "none": ("x", {"max_retries": 0, "retry_exceptions": True}),
    "exceptions are not retried": ("x", {}),
    "crash": ("k", {"max_retries": 1}),
    "crash and exception": ("kx", {"max_retries": 3, "retry_exceptions": False}),
    "one counter": ("kxk", {"max_retries": 2, "retry_exceptions": True}),
    "minus one": ("x", {"max_retries": -1, "retry_exceptions": True}),
}


def main(folder):
    report = {}
    for name, (script, options) in CASES.items():
        path, workflow_id = os.path.join(folder, name), name.replace(" ", "-")
        try:
            result = workflow.run(staged.options(**options).bind(path, script), workflow_id=workflow_id)
        except workflow.WorkflowExecutionError:
            result = "failed"
        report[name] = [result, workflow.get_status(workflow_id).value, lines(path)["x"]]
    return report
