"""What a resume runs, resume_all, and ids that are run again."""

from pathlib import Path

import ray
from prelude import add, boom, fragile, identity, lines, noted, outcome, status, workflow


@ray.remote
def level(log, flag, n):
    with open(log, "a") as file:
        file.write(f"level{n}\n")
    if n == 2 and not Path(flag).exists():
        raise ValueError("not yet")
    return "end" if n == 0 else workflow.continuation(level.bind(log, flag, n - 1))


def main(folder):
    log, flag = folder + "/log", folder + "/ok"
    a = noted.bind(log, "a", 1)
    dag = add.bind(a, noted.bind(log, "b", 2, a), noted.bind(log, "end", 4, fragile.bind(log, "middle", flag, a)))
    report = {"first": outcome(workflow.run, dag, workflow_id="w")["error"]}
    report["chain"] = outcome(workflow.run, level.bind(folder + "/chain", flag, 4), workflow_id="chain")["error"]
    outcome(workflow.run, boom.bind(), workflow_id="hopeless")
    report["resume_all"] = workflow.resume_all()
    Path(flag).touch()
    report["the id again, with another dag"] = workflow.run(identity.bind("other"), workflow_id="w")
    report["resumed"] = [workflow.resume("w"), workflow.resume("w"), status("w"), lines(log)]
    refs = dict(workflow.resume_all(include_failed=True))
    report["include_failed"] = sorted(refs)
    report["chain resumed"] = [ray.get(refs["chain"]), lines(folder + "/chain")]
    report["hopeless"] = outcome(ray.get, refs["hopeless"])["error"]
    return report
