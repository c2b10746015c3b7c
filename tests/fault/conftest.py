"""Every campaign of tests/fault becomes a test of its CI size, and one of each of its negative controls."""

from __future__ import annotations

import pytest

from tests.fault.campaign import load

#: Seconds; the longest campaign's CI size on two busy cores.
_TIMEOUT = 900


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault_campaign" not in metafunc.fixturenames:
        return
    cases = []
    for campaign in load().values():
        marks = [getattr(pytest.mark, mark) for mark in ("fault", *campaign.marks)]
        marks.append(pytest.mark.timeout(_TIMEOUT))
        offs: list[str | None] = list(campaign.controls) if "off" in metafunc.fixturenames else [None]
        for off in offs:
            name = campaign.name if off is None else f"{campaign.name}-without-{off.replace(' ', '-')}"
            values = (campaign, off) if "off" in metafunc.fixturenames else (campaign,)
            cases.append(pytest.param(*values, marks=marks, id=name))
    names = "fault_campaign,off" if "off" in metafunc.fixturenames else "fault_campaign"
    metafunc.parametrize(names, cases)
