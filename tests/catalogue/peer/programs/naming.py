"""Default and given names, the suffix of those that repeat, names across continuations."""

import ray
from prelude import add, identity, outcome, workflow


@ray.remote
def factorial(n, product=1):
    return product if n <= 1 else workflow.continuation(factorial.bind(n - 1, product * n))


def outputs(workflow_id, *names):
    return {name: outcome(workflow.get_output, workflow_id, task_id=name) for name in names}


def main(folder):
    def local(n):
        return n

    f = add.options(**workflow.options(task_id="f"))
    report = {"nested": workflow.run(f.bind(f.bind(1, 2), f.bind(10)), workflow_id="nested")}
    report["nested names"] = outputs("nested", "f", "f_1", "f_2")
    workflow.run(ray.remote(local).bind(5), workflow_id="local")
    report["local"] = outputs("local", "naming.main.locals.local")
    report["factorial"] = workflow.run(factorial.bind(4), workflow_id="factorial")
    report["chain"] = outputs("factorial", "naming.factorial", *(f"naming.factorial_{n}" for n in (1, 2, 3)))
    report["default"] = workflow.run(identity.bind(identity.bind(7)), workflow_id="default")
    report["default names"] = outputs("default", "prelude.identity", "prelude.identity_1")
    return report
