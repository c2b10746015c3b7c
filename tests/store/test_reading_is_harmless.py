"""Reading imports no Ray and unpickles nothing: in a fresh interpreter in which both are forbidden."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import pickle, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ray":
            raise AssertionError("ray was imported")

def refuse(*args, **kwargs):
    raise AssertionError("something was unpickled")

sys.meta_path.insert(0, Forbidden())
class Refusing(pickle.Unpickler):
    load = refuse

pickle.loads = pickle.load = refuse
pickle.Unpickler = pickle._Unpickler = Refusing
import wfstore
store = wfstore.open(sys.argv[1])
assert store.sql("SELECT count(*) FROM tasks").fetchall()[0][0] > 0
for workflow_id in store.workflows()["workflow_id"]:
    history = store.history(workflow_id)
    assert str(history) and history.to_dict()
store.tasks(), store.attempts(), store.events(), store.stats(), store.verify(), store.connect()
for name in store.reports()["name"]:
    store.report(name)
assert wfstore.history("good", storage=sys.argv[1]).status == "SUCCESSFUL"
assert wfstore.sql("SELECT 1", storage=sys.argv[1]).fetchall() == [(1,)]
assert "ray" not in sys.modules
try:
    store.output("plain")
except AssertionError:
    print("done")
"""


def test_a_fresh_interpreter_reads_without_ray_and_without_unpickling(storage: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, storage], capture_output=True, text=True, timeout=60, check=False
    )
    assert (answer.stdout, answer.returncode) == ("done\n", 0), answer.stderr
