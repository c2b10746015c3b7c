"""checkpoint=False, and what a resume runs again."""

import os
from pathlib import Path

from prelude import add, fragile, lines, noted, outcome, workflow


def task(name, checkpoint):
    return noted.options(**workflow.options(task_id=name, checkpoint=checkpoint))


def run_mode(folder, mode, first, second):
    log, flag = os.path.join(folder, mode), os.path.join(folder, mode + "-ok")
    a = task("a", first).bind(log, "a", 1)
    b = task("b", second).bind(log, "b", 2, a)
    dag = add.bind(a, b, fragile.bind(log, "late", flag, b))
    failed = outcome(workflow.run, dag, workflow_id=mode)["error"]
    Path(flag).touch()
    result = [workflow.resume(mode), workflow.resume(mode), workflow.get_output(mode)]
    return {"error": failed, "results": result, "ran": lines(log)}


def main(folder):
    modes = {"skip": (False, False), "partial": (False, True), "whole": (True, True)}
    report = {name: run_mode(folder, name, *kept)["results"] for name, kept in modes.items()}
    report["whole ran"] = lines(os.path.join(folder, "whole"))
    log = os.path.join(folder, "root")
    dag = task("root", False).bind(log, "root", 5, task("leaf", True).bind(log, "leaf", 1))
    report["root"] = [workflow.run(dag, workflow_id="root"), workflow.resume("root"), lines(log)]
    options = workflow.get_metadata("root", task_id="root")["task_options"]
    report["options"] = options["checkpoint"]
    return report
