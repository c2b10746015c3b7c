"""What work cost, and which part of it came to nothing: against sums worked out by hand, and sums that must agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.index.worlds import dag, spec
from tests.reports.stories import Story, at, shop, store_of
from wfstore.answers.cost import group, parsed, price_list
from wfstore.cli.app import run
from wfstore.model.commands import Cancel, Interrupt, Resume

PRICES = {"cpu": 0.04, "gpu": 2.5, "memory": 0.01, "licence": 7.0}
PARTS = ("first_cost", "retry_cost", "fetch_cost", "repeated_cost", "canceled_cost", "failed_cost")
HOUR = 3600


def every_part() -> Story:
    """One attempt, or two, for each thing that can be paid for; an hour of user code each, where nothing else is said.

    fit (gpu: 2 CPUs, half a GPU) fails, and succeeds when tried again, with half an hour of fetching before; `other`
    (4 GiB, 3 licences) succeeds at once. The second workflow does `a` twice, as its output was not kept, and reuses
    `kept`. In the third `a` succeeds and `b` is canceled after 30 min.
    """
    story = Story()
    story.now(0)
    fit = spec("fit", max_retries=1, retry_exceptions=True, ray_options={"num_cpus": 2, "num_gpus": 0.5})
    other = spec("other", 0, ray_options={"memory": 4 * 2**30, "resources": {"licence": 3}})
    story.submit("one", dag(fit, other), {"name": "train", "team": "a", "user": "ada"})
    story.bad("one", "fit", 0, HOUR, "no", retryable=True)
    story.ok("one", "fit", HOUR, 2 * HOUR, fetch_s=1800.0)
    story.ok("one", "other", 2 * HOUR, 3 * HOUR, checkpoint_s=360.0)
    story.now(3 * HOUR)
    story.submit("two", dag(spec("kept"), spec("a", checkpoint=False), spec("b", 0, 1, max_retries=0)), {"team": "b"})
    story.ok("two", "kept", 3 * HOUR, 5 * HOUR)
    story.ok("two", "a", 3 * HOUR, 4 * HOUR, stored=False)
    story.bad("two", "b", 5 * HOUR, 5 * HOUR + 360, "no")
    story.do(Resume("two"))
    story.ok("two", "a", 6 * HOUR, 7 * HOUR, stored=False)
    story.ok("two", "b", 7 * HOUR, 8 * HOUR)
    story.now(8 * HOUR)
    story.submit("three", dag(spec("a"), spec("b", 0)), {"team": "a"})
    story.ok("three", "a", 8 * HOUR, 9 * HOUR)
    story.begins("three", "b", 9 * HOUR)
    story.now(9.5 * HOUR)
    story.do(Cancel("three"))
    return story


@pytest.fixture(scope="module")
def story() -> Story:
    return every_part()


def asked(story: Story, **params: Any) -> pl.DataFrame:
    return story.report("cost", prices=json.dumps(PRICES), **params)


def row(story: Story, value: str | None, **params: Any) -> dict[str, Any]:
    (found,) = [row for row in asked(story, **params).to_dicts() if row["value"] == value]
    return found


# -- worked out by hand -----------------------------------------------------------------------------------------------


def test_what_failed_was_tried_again_and_waited_for_its_arguments(story: Story) -> None:
    found = row(story, "shop.fit", by="task_key")
    hour = 2 * 0.04 + 0.5 * 2.5  # of its two CPUs and its half a GPU
    assert found["cost"] == pytest.approx(2.5 * hour, abs=1e-12)
    assert {name: found[name] for name in PARTS} == pytest.approx(
        {"first_cost": 0, "retry_cost": hour, "fetch_cost": hour / 2, "repeated_cost": 0, "canceled_cost": 0,
         "failed_cost": hour}
    )  # fmt: skip
    assert (found["held_s"], found["cpu_hours"], found["gpu_hours"]) == pytest.approx((2.5 * HOUR, 5, 1.25))
    assert found["wasted_share"] == pytest.approx(1.5 / 2.5)


def test_memory_and_custom_resources_have_prices_of_their_own(story: Story) -> None:
    found = row(story, "shop.other", by="task_key")
    assert found["held_s"] == pytest.approx(1.1 * HOUR)  # storing the output holds them, too
    assert found["memory_gib_hours"] == pytest.approx(4.4)
    assert json.loads(found["other_hours"]) == pytest.approx({"licence": 3.3})
    assert found["cost"] == found["first_cost"] == pytest.approx(1.1 * (0.04 + 4 * 0.01 + 3 * 7))
    assert row(story, "shop.fit", by="task_key")["other_hours"] is None


def test_what_ran_again_was_canceled_or_spared(story: Story) -> None:
    two = row(story, "two", by="workflow")
    assert (two["attempts"], two["reused"]) == (5, 1)
    assert two["repeated_cost"] == pytest.approx(0.04)  # the first `a`
    assert two["saved_cost"] == pytest.approx(2 * 0.04)  # the two hours of `kept`
    assert two["failed_cost"] == pytest.approx(0.1 * 0.04)
    assert two["first_cost"] == pytest.approx(4 * 0.04)
    three = row(story, "three", by="workflow")
    assert three["canceled_cost"] == three["cost"] == pytest.approx(1.5 * 0.04)  # what had succeeded is lost, too
    assert three["wasted_share"] == 1


def test_an_attempt_that_is_lost_and_one_under_way() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a")))
    story.begins("w", "a", 0)
    assert asked(story).is_empty()  # nobody knows what it will cost
    story.now(HOUR)
    story.do(Interrupt("w"))
    assert row(story, "a")["failed_cost"] == pytest.approx(0.04)


# -- sums -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["name", "workflow", "task_key", "user", "metadata.team", "metadata.nothing"])
def test_parts_add_up_to_groups_and_groups_to_the_whole(story: Story, by: str) -> None:
    whole = row(story, None, by="metadata.nothing")
    found = asked(story, by=by)
    for column in ("cost", "held_s", "attempts", "saved_cost", "reused", "cpu_hours", *PARTS):
        assert found[column].sum() == pytest.approx(whole[column], rel=1e-12, abs=1e-12), column
    parts = found.select(pl.sum_horizontal(PARTS)).to_series()
    assert (parts - found["cost"]).abs().max() < 1e-12
    assert found["share"].sum() == pytest.approx(1)
    assert found["cost"].to_list() == sorted(found["cost"], reverse=True)


def test_seconds_and_waste_are_those_of_retries_and_waste() -> None:
    """The other report counts in seconds and by task; on a story without cancellations they say the same."""
    story = shop()
    other = story.report("retries_and_waste")
    found = story.report("cost")
    wasted_s = 3600 * (found["failed_cost"].sum() + found["repeated_cost"].sum())
    assert found["held_s"].sum() == other["busy_s"].sum()
    assert wasted_s == pytest.approx(other["wasted_s"].sum())


def test_awkward_prices_and_seconds_still_add_up() -> None:
    story = Story()
    story.now(0)
    for number in range(40):
        story.now(number)
        story.submit(f"w{number}", dag(spec("a", ray_options={"num_cpus": 1 / 3})), {"team": str(number % 7)})
        story.ok(f"w{number}", "a", number, number + 0.333333 * (number + 1), fetch_s=1e-6 * number)
    said = json.dumps({"cpu": 0.1234567891234})
    sums = {by: story.report("cost", prices=said, by=by)["cost"].sum() for by in ("name", "workflow", "metadata.team")}
    exact = 0.1234567891234 / 3 * sum(0.333333 * (n + 1) + 1e-6 * n for n in range(40)) / 3600
    assert all(found == pytest.approx(exact, rel=1e-11) for found in sums.values())
    assert max(sums.values()) - min(sums.values()) < 1e-12


# -- grouping, periods, prices ----------------------------------------------------------------------------------------


def test_groups(story: Story) -> None:
    assert dict(asked(story, by="metadata.team").select("value", "attempts").iter_rows()) == {"a": 5, "b": 5}
    assert dict(asked(story, by="user").select("value", "attempts").iter_rows()) == {"ada": 3, None: 7}
    assert row(story, "train")["attempts"] == 3


def test_a_key_of_metadata_may_be_any_text() -> None:
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("a")), {'cost.centre/"9"~': "x"})
    story.ok("w", "a", 0, 1)
    assert asked(story, by='metadata.cost.centre/"9"~')["value"].to_list() == ["x"]


def test_a_period_and_a_name(story: Story) -> None:
    assert asked(story, by="workflow", since=at(3 * HOUR), until=at(8 * HOUR))["value"].to_list() == ["two"]
    assert asked(story, workflow="train")["value"].to_list() == ["train"]
    assert asked(story, workflow="nobody").is_empty()
    assert asked(story, limit=1).height == 1
    assert asked(story, limit=1)["share"][0] < 1  # of all groups, shown or not


def test_what_has_no_price_is_counted(story: Story) -> None:
    found = story.report("cost", prices='{"gpu": 2.5}', by="task_key", currency="EUR").to_dicts()
    unpriced = {row["value"]: row["unpriced"] for row in found}
    assert unpriced == {"shop.fit": 2, "shop.other": 1, "shop.kept": 1, "shop.a": 3, "shop.b": 3}
    assert {row["currency"] for row in found} == {"EUR"}
    assert [row["cost"] for row in found if row["value"] == "shop.a"] == [0]
    assert asked(story)["unpriced"].sum() == 0


def test_without_prices_it_is_in_cpu_hours(story: Story) -> None:
    found = story.report("cost")
    assert found["cost"].to_list() == pytest.approx(found["cpu_hours"].to_list())


def test_sql_says_what_it_can_group_by(story: Story) -> None:
    with pytest.raises(ValueError, match=r"name, workflow, task_key, user, metadata\.KEY, not 'colour'"):
        story.report("cost", by="colour")


# -- price lists ------------------------------------------------------------------------------------------------------


def test_price_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('currency = "EUR"\ncpu = 0.04\n"my res" = 2\n')
    (tmp_path / "p.json").write_text('{"cpu": 0.04, "my res": 2.0}')
    toml, given = price_list(tmp_path / "p.toml"), price_list({"cpu": 0.04, "my res": 2}, "USD")
    assert toml is not None and given is not None
    assert toml.per_hour == given.per_hour == {"cpu": 0.04, "my res": 2.0}
    assert (toml.currency, given.currency) == ("EUR", "USD")
    assert price_list(tmp_path / "p.toml", "CHF") == (toml.per_hour, "CHF")
    assert price_list(str(tmp_path / "p.json")) == (toml.per_hour, None)
    assert price_list(None) is None
    assert parsed(" cpu = 0.04, gpu=2.5 ,") == {"cpu": 0.04, "gpu": 2.5}


@pytest.mark.parametrize(
    ("prices", "said"),
    [({"cpu": -1}, "cpu is -1"), ({"cpu": True}, "cpu is True"), ({"cpu": "1"}, "cpu is '1'"), ({}, "has no prices"),
     ({"cpu": float("nan")}, "cpu is nan"), ({"cpu": 1, "currency": 2}, "currency is 2")],
)  # fmt: skip
def test_what_is_no_price_list_is_named(prices: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        price_list(prices)


@pytest.mark.parametrize(("name", "text"), [("p.toml", "cpu = "), ("p.json", "[1]"), ("p.txt", "cpu=1")])
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        price_list(tmp_path / name)


@pytest.mark.parametrize("text", ["cpu", "=1", "cpu=x", "cpu=1,cpu=2"])
def test_what_is_no_price_is_named(text: str) -> None:
    with pytest.raises(ValueError):
        parsed(text)


@pytest.mark.parametrize("by", ["", "tag", "metadata.", "metadata"])
def test_what_cannot_be_grouped_by_is_named(by: str) -> None:
    with pytest.raises(ValueError, match=r"metadata\.KEY"):
        group(by)


# -- faces ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(story: Story, tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_of(story, tmp_path_factory.mktemp("cost") / "store").storage


def said(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert run(["cost", *arguments]) == code
    heard = capsys.readouterr()
    return heard.out if code == 0 else heard.err


def test_python_sql_and_the_command_say_the_same(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import wfstore

    store = wfstore.open(path)
    found = store.cost("metadata.team", PRICES, currency="EUR", since=at(0), name="train")
    same = store.report(
        "cost", by="metadata.team", prices=json.dumps(PRICES), currency="EUR", since=at(0), workflow="train"
    )
    assert found.equals(same) and found["value"].to_list() == ["a"]
    listed = tmp_path / "p.json"
    listed.write_text(json.dumps({**PRICES, "currency": "EUR"}))
    told = said(capsys, 0, "--by", "metadata.team", "--prices", str(listed), "--name", "train", "--json",
                "--storage", path)  # fmt: skip
    (printed,) = json.loads(told)
    assert printed["cost"] == found["cost"][0] and printed["currency"] == "EUR"
    assert printed["other_hours"] == {"licence": pytest.approx(3.3)}


def test_the_table_says_what_it_was_computed_from(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, 0, "--price", "cpu=0.04,gpu=2.5", "--currency", "EUR", "--storage", path)
    assert "wasted" in told and "train" in told
    assert "(EUR), from 10 attempts submitted 2023-11-14 22:13:20 to" in told
    assert "1 of them asked for something that has no price" in told
    assert "(CPU hours)" in said(capsys, 0, "--storage", path)
    small = said(capsys, 0, "--price", "cpu=0.00000004", "--storage", path)
    assert "e-0" in small and " %" in small, "what is small is not nothing"
    assert "no attempt has ended" in said(capsys, 0, "--since", "1d", "--storage", path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--by", "tag"), "metadata.KEY"), (("--price", "cpu"), "RESOURCE=PRICE"), (("--prices", "no.toml"), "no.toml"),
     (("--since", "soon"), "soon"), (("--price", "cpu=1e300"), "at most 1e+09")],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    path: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    told = said(capsys, 1, *arguments, "--storage", path)
    assert words in told and told.count("\n") == 1
