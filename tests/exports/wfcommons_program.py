"""Run by a Python that has wfcommons: opens each file given as `wfcommons.wfinstances.Instance`, prints what it found.

    PYTHON wfcommons_program.py SCHEMA FILE...

wfcommons fetches its schema from the network; where it cannot, SCHEMA is used and the printed lines say so.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from wfcommons.wfinstances import Instance  # type: ignore[import-not-found]


def main() -> None:
    schema = Path(sys.argv[1])
    for name in sys.argv[2:]:
        own = False
        try:
            found = Instance(Path(name))
        except RuntimeError as error:
            if "fetch" not in str(error):
                raise
            found, own = Instance(Path(name), schema_file=schema), True
        tasks = found.workflow.tasks
        print(
            json.dumps(
                {
                    "schema": "ours" if own else "wfcommons",
                    "tasks": len(tasks),
                    "edges": sorted(found.workflow.edges),
                    "runtimes": {task_id: task.runtime for task_id, task in tasks.items()},
                    "bytes": sum(file.size for task in tasks.values() for file in task.output_files),
                    "makespan": found.makespan,
                }
            )
        )


if __name__ == "__main__":
    main()
