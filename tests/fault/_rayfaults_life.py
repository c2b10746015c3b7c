"""One life of a cluster on a store that outlives it: resumes what the last one left, and works until it is killed.

    python -m tests.fault._rayfaults_life FOLDER NAME work|finish

It says in a JSON line what it resumed, and when work goes on. finish: no new workflows; it says so when all have come
to their end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import ray

from tests.fault._rayfaults_cluster import PATIENT, Watcher
from tests.fault._rayfaults_load import Load, check, planned
from wfstore import workflow

_NEVER_S = 120.0


def main(folder: Path, name: str, then: str) -> None:
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    ray.init(address="local", num_cpus=2, _system_config=PATIENT, **quiet)
    workflow.init(storage=str(folder / "store"))
    watcher = Watcher(str(folder / "store"), since="now")
    since = watcher.now()
    resumed = workflow.resume_all()
    say(resumed=len(resumed))
    if then == "work":
        Load(folder, name, mortal=True)
        say(flows=watcher.success(since, _NEVER_S) is not None)
        time.sleep(10 * _NEVER_S)
    for workflow_id, _ in workflow.list_all():
        _, output = planned(str(folder), workflow_id)
        check(str(folder), workflow_id, output, partial(workflow.get_output, workflow_id))
    say(statuses=sorted({str(status) for _, status in workflow.list_all()}))
    ray.shutdown()


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
    os._exit(0)
