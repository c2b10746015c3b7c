"""No init anywhere: list_all, or a run, starts Ray and the manager on the default storage.

no_init.py list|run
"""

from __future__ import annotations

import sys
import warnings

import ray

from wfstore import workflow


@ray.remote
def one() -> int:
    return 1


if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print(workflow.list_all() if sys.argv[1] == "list" else workflow.run(one.bind()))
    print([str(warning.message) for warning in caught if "No storage was named" in str(warning.message)])
