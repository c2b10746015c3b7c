"""catch_exceptions: plain, through continuations, inner and outer; and what is left of a caught error."""

import ray
from prelude import add, boom, identity, kind, outcome, status, workflow

CATCH = workflow.options(catch_exceptions=True)


@ray.remote
def deep(n, fails):
    if n:
        return workflow.continuation(deep.bind(n - 1, fails))
    if fails:
        raise ValueError("deep")
    return 10


@ray.remote
def side():
    return workflow.continuation(add.bind(boom.bind(), 1))


@ray.remote
def outer(inner, fails):
    task = boom if fails else identity
    return workflow.continuation(task.options(**workflow.options(catch_exceptions=inner)).bind("x"))


def main(folder):
    run = outer.options(**CATCH)
    report = {
        "success": kind(workflow.run(identity.options(**CATCH).bind(5))),
        "failure": kind(workflow.run(boom.options(**CATCH).bind())),
        "as argument": kind(workflow.run(identity.bind(identity.options(**CATCH).bind(1)))),
        "deep success": kind(workflow.run(deep.options(**CATCH).bind(3, False))),
        "deep failure": kind(workflow.run(deep.options(**CATCH).bind(3, True))),
        "failure at the side": kind(workflow.run(side.options(**CATCH).bind())),
        "inner default, success": kind(workflow.run(run.bind(None, False))),
        "inner default, failure": kind(workflow.run(run.bind(None, True))),
        "inner False, success": kind(workflow.run(run.bind(False, False))),
        "inner False, failure": kind(workflow.run(run.bind(False, True))),
        "inner True, success": kind(workflow.run(run.bind(True, False))),
        "inner True, failure": kind(workflow.run(run.bind(True, True))),
    }
    workflow.run(boom.options(**CATCH).bind(), workflow_id="caught")
    report["status"] = status("caught")
    report["output of a caught one"] = outcome(lambda: kind(workflow.get_output("caught")))
    return report
