"""The CI size of every campaign passes, and every negative control fails: what is switched off is noticed."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from tests.fault.__main__ import main
from tests.fault._takeovers_manager import CONTEXT, Manager, Past
from tests.fault.campaign import CAMPAIGNS, Campaign, Tally, campaign
from tests.fault.results import Plan, Sum, add_up, beyond, read_lines, run_batch, run_plan


def able(campaign: Campaign) -> None:
    """Skip with the campaign's reason where it cannot run."""
    if reason := campaign.needs():
        pytest.skip(reason)


def test_campaign(fault_campaign: Campaign, tmp_path: Path) -> None:
    able(fault_campaign)
    # Captured output would be lost with a run that hangs.
    plan = Plan(fault_campaign, fault_campaign.size(release=False), controls=False)
    lines = run_plan(plan, tmp_path, None, sys.__stderr__ or sys.stderr)
    total = add_up(lines)[fault_campaign.name, None]
    assert beyond(fault_campaign, None, total) == [], [line["failures"] for line in lines]


def test_control(fault_campaign: Campaign, off: str, tmp_path: Path) -> None:
    able(fault_campaign)
    line = run_batch(fault_campaign, range(fault_campaign.controls[off]), off, tmp_path)
    assert beyond(fault_campaign, off, add_up([line])[fault_campaign.name, off]) == [], line["failures"]


@pytest.fixture
def sample() -> object:
    @campaign("sample", ci=6, release=10, batch=4, controls={"the check": 3}, limits={"wait_s p95": 1.0})
    def run(case: int, folder: Path, off: str | None = None) -> dict[str, int | float]:
        """Fails without its check."""
        assert not list(folder.iterdir())
        assert off is None or case != 1, "seen"
        return {"acknowledged": case, "wait_s": 0.1 * case}

    yield CAMPAIGNS["sample"]
    del CAMPAIGNS["sample"]


def test_runs_stop_and_go_on_and_add_up(sample: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "first.jsonl"
    run_plan(Plan(sample, 6, (2, 2)), tmp_path / "a", out)
    out.write_text(out.read_text() + '{"campaign": "sam')
    other = tmp_path / "second.jsonl"
    run_plan(Plan(sample, 6, (1, 2)), tmp_path / "b", other)
    assert [(line["off"], line["first"], line["last"]) for line in read_lines([out, other])] == [
        (None, 4, 5),
        ("the check", 0, 2),
        (None, 0, 3),
    ]
    run_plan(Plan(sample, 10), tmp_path / "c", out)
    total = add_up(read_lines([out, other]))[sample.name, None]
    assert (total.cases, total.failed, total.counts) == (10, 0, {"acknowledged": 45})
    before = out.read_text()
    run_plan(Plan(sample, 10), tmp_path / "d", out)
    assert out.read_text() == before
    capsys.readouterr()
    main(["sum", str(out), str(other)])
    assert "cases        10  failed      0" in capsys.readouterr().out


def test_cases_that_wait_run_side_by_side(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    @campaign("side by side", ci=8, release=8, batch=8, side_by_side=4)
    def run(case: int, folder: Path) -> dict[str, int]:
        together.wait(10)
        assert case != 5, "seen"
        return {"acknowledged": case}

    made = CAMPAIGNS.pop("side by side")
    line = run_batch(made, range(8), None, tmp_path / "side")
    assert (line["passed"], line["failed"], line["counts"]) == (7, 1, {"acknowledged": 23})
    assert [case for case, _ in line["failures"]] == [5]
    assert [folder.name for folder in (tmp_path / "side").iterdir()] == ["5"], "only what failed is kept"


def test_a_manager_that_was_killed_with_an_order_unread_is_taken_for_killed() -> None:
    manager = Manager.__new__(Manager)
    manager._pipe, theirs = CONTEXT.Pipe()
    manager.past = Past(1, "reign", "notes", 0, 0, outcome="claimed")
    theirs.send(("claimed", 3, ""))
    manager._pipe.send("an order")
    theirs.close()
    assert (manager.look(), manager.past.epoch) == ("killed", 3)


def test_what_is_not_as_it_has_to_be_is_said(sample: Campaign) -> None:
    assert beyond(sample, None, Sum()) == ["no case was run"]
    assert beyond(sample, None, Sum(cases=3, failed=1)) == ["1 failed, 0 allowed"]
    assert beyond(sample, None, Sum(cases=1, samples={"wait_s": [2.0]})) == ["wait_s p95 is 2, 1 is allowed"]
    assert beyond(sample, "the check", Sum(cases=3)) == ["switching off 'the check' was not noticed in 3 cases"]
    assert beyond(sample, "the check", Sum(cases=3, failed=2, broken=1)) == ["the control broke in 1 cases"]
    assert beyond(sample, "the check", Sum(cases=3, failed=1)) == []


def test_a_finding_is_told_from_a_broken_case() -> None:
    tally = Tally()
    tally.raised(1, AssertionError("lost"))
    tally.raised(2, ZeroDivisionError())
    assert (tally.failed, tally.broken) == (2, 1)


def test_one_case_is_run_again_by_its_number(sample: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "sample", "--only-case", "1", "--off", "the check"]) == 1
    assert "seen" in capsys.readouterr().out
    assert main(["run", "sample", "--only-case", "5"]) == 0
    assert main(["run", "nothing"]) == 2


def test_the_command_says_by_its_status_what_came_out(sample: Campaign, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["run", "sample", "--out", str(out)]) == 0
    assert main(["sum", str(out)]) == 0
    lines = [*read_lines([out]), {**read_lines([out])[-1], "first": 90, "last": 90, "passed": 0, "failed": 1}]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["sum", str(out)]) == 1


@pytest.mark.parametrize(
    "file", sorted(Path(__file__).with_name("release").glob("*.jsonl")), ids=lambda file: file.stem
)
def test_kept_lines_of_release_runs_hold_and_name_their_commit(file: Path) -> None:
    lines = read_lines([file])
    assert len(lines) == len(file.read_text().splitlines()) and all("first" in line for line in lines)
    assert {line["campaign"] for line in lines} == {file.stem}
    assert not any(line["code"] == "unknown" or line["code"].endswith("+") for line in lines)
    sums = add_up(lines)
    assert {off for _, off in sums} == {None, *CAMPAIGNS[file.stem].controls}
    assert [found for (_, off), total in sums.items() for found in beyond(CAMPAIGNS[file.stem], off, total)] == []
