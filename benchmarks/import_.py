"""How long the first import of old ray.workflow workflows takes, and what of it is reading their files.

    python -m benchmarks.import_ [--workflows 1000] [--source PATH] [--quick]

Prints JSON lines. Without --source it writes a storage folder of finished workflows of three tasks, as ray.workflow did
(21 files each); a real one is at hand where there is a Python with ray.workflow:

    PYTHON tests/imports/old_program.py FOLDER/old 1000
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import wfstore
from tests.imports.folders import T0, OldFolder
from wfstore.imports import import_ray_workflow
from wfstore.traces.rayworkflow import OldStore

GOAL_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--source", help="an old store to import instead of one made here")
    parser.add_argument("--quick", action="store_true", help="50 workflows")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = given.source or str(_made(Path(scratch, "old"), 50 if given.quick else given.workflows))
        began = time.perf_counter()
        store = OldStore(source)
        found = store.find()
        for item in found:
            store.read(item)
        read_s = time.perf_counter() - began
        began = time.perf_counter()
        report = import_ray_workflow(source, str(Path(scratch, "new")))
        import_s = time.perf_counter() - began
        began = time.perf_counter()
        again = import_ray_workflow(source, str(Path(scratch, "new")))
        again_s = time.perf_counter() - began
        assert not again.imported and not report.broken
        stats = wfstore.open(str(Path(scratch, "new"))).stats()
    rows = {
        "benchmark": "import.ray_workflow",
        "workflows": len(report.imported),
        "tasks": stats["tasks"],
        "events": stats["events"],
        "log_bytes": stats["log_bytes"],
        "read_s": round(read_s, 3),
        "import_s": round(import_s, 3),
        "again_s": round(again_s, 3),
        "goal_s": GOAL_S,
        "ok": import_s <= GOAL_S,
    }
    print(json.dumps(rows))


def _made(root: Path, workflows: int) -> Path:
    folder = OldFolder(root)
    for number in range(workflows):
        folder.chain(f"w{number}", start=T0 + number)
    return root


if __name__ == "__main__":
    main()
