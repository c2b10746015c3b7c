"""Section 19: what the driver that submitted is told."""

from __future__ import annotations

import pytest

from tests.catalogue.drivers import launch
from tests.catalogue.items import item
from tests.engine.test_lifetime import address
from tests.engine.world import World

pytestmark = pytest.mark.ray


@item(
    "W1",
    'the output of the driver that submitted holds "Workflow job created", and for every task, also dynamic '
    'ones, "Task '
    'status [RUNNING]" and "[SUCCESSFUL]"; other drivers hear nothing',
)
def test_W1_lines_for_the_submitter(world: World) -> None:
    drivers = {name: launch("speaks", world.storage, world.namespace, name, **address()) for name in ("w1a", "w1b")}
    said = {}
    for name, driver in drivers.items():
        out, err = driver.communicate(timeout=90)
        assert driver.returncode == 0, err
        said[name] = (out + err).encode().decode("ascii")
    for name, other in (("w1a", "w1b"), ("w1b", "w1a")):
        assert f'Workflow job created. [id="{name}"' in said[name]
        for task in ("f0", "f1", "f2"):
            for status in ("RUNNING", "SUCCESSFUL"):
                assert f"Task status [{status}]\t[{name}@{task}" in said[name]
        assert other not in said[name]
