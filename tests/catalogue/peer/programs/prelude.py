"""What every program needs: the library of $CATALOGUE_ENGINE (ray or wfstore), and a report of what happened.

Plain Python and Ray only: it runs on an interpreter that has ray 2.47.1 and nothing of this project.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

if os.environ["CATALOGUE_ENGINE"] == "ray":
    from ray import workflow
else:
    from wfstore import workflow

import ray

#: Classes that a caller may name in `except`; others in an exception's ancestry are the libraries' own affair.
CATCHABLE = {
    "Full",
    "NotImplementedError",
    "RuntimeError",
    "TypeError",
    "ValueError",
    "WorkflowCancellationError",
    "WorkflowError",
    "WorkflowExecutionError",
    "WorkflowNotFoundError",
    "WorkflowNotResumableError",
}


def start(storage, **limits):
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False, "num_cpus": 2}
    if os.environ["CATALOGUE_ENGINE"] == "ray":
        ray.init(address="local", storage=storage, **quiet)
        workflow.init(**limits)
    else:
        ray.init(address="local", **quiet)
        workflow.init(storage=storage, **limits)


def outcome(call, *args, **kwargs):
    """What a call gave: {"value": ...} or {"error": [catchable classes], "text": ...}."""
    try:
        return {"value": call(*args, **kwargs)}
    except Exception as error:
        classes = {cls.__name__ for cls in type(error).__mro__}
        return {"error": sorted(classes & CATCHABLE), "text": message(error)}


def message(error):
    """Of what came through Ray, the last line of the traceback, without the class."""
    last = str(error).strip().splitlines()[-1] if "\n" in str(error) else str(error)
    return re.sub(r"^[\w.]+(Error|Full): ", "", last)


def kind(value):
    """A value, or the class of what JSON cannot hold."""
    if isinstance(value, (tuple, list)):
        return [kind(item) for item in value]
    if isinstance(value, Exception):
        return "ValueError" if isinstance(value, ValueError) else type(value).__name__
    return "ref" if isinstance(value, ray.ObjectRef) else value


def status(workflow_id):
    """As a plain string, or the outcome of asking."""
    found = outcome(workflow.get_status, workflow_id)
    return str(found["value"].value) if "value" in found else found


def listed(wanted=None):
    return sorted([name, str(found.value)] for name, found in workflow.list_all(wanted))


def note(path, name):
    with open(path, "a") as file:
        file.write(name + "\n")


def lines(path):
    """How often each name was noted."""
    names = Path(path).read_text().split() if Path(path).exists() else []
    return {name: names.count(name) for name in sorted(set(names))}


def wait_for(path, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not Path(path).exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


@ray.remote
def add(*values):
    return sum(values)


@ray.remote
def identity(value):
    return value


@ray.remote
def boom(text="boom"):
    raise ValueError(text)


@ray.remote
def noted(log, name, value=None, *after):
    note(log, name)
    return value


@ray.remote
def fragile(log, name, flag, value=None):
    note(log, name)
    if not os.path.exists(flag):
        raise ValueError("not yet")
    return value


@ray.remote
def hold(folder, name, value=None):
    Path(folder, name + "-on").touch()
    wait_for(Path(folder, name + "-go"))
    return value


def run_program(name, folder):
    program = __import__(name)
    start(os.path.join(folder, "store"), **getattr(program, "LIMITS", {}))
    report = program.main(folder)
    print("REPORT " + json.dumps(report, default=repr), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    # Under its own name, so that tasks of this module are the same to workers.
    __import__("prelude").run_program(*sys.argv[1:])
