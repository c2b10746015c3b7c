"""`python -m tests.fault list | run [NAME...] | sum FILE...`: see docs/how-to/run-the-fault-suite.md."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.fault.campaign import Campaign, load
from tests.fault.results import Line, Plan, Sum, add_up, beyond, code_version, read_lines, run_batch, run_plan


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 where more failed than is allowed, 2 for arguments that make no sense."""
    given = _parser().parse_args(arguments)
    campaigns = load()
    if unknown := [name for name in getattr(given, "names", ()) if name not in campaigns]:
        print(f"no campaign is named {', '.join(unknown)}; there are: {', '.join(campaigns)}", file=sys.stderr)
        return 2
    return int(given.action(given, campaigns))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description="Fault campaigns of wfstore.")
    actions = parser.add_subparsers(required=True)
    listing = actions.add_parser("list", help="the campaigns, their sizes and controls")
    listing.set_defaults(action=_list)
    run = actions.add_parser("run", help="run campaigns, and their negative controls")
    run.add_argument("names", nargs="*", metavar="NAME", help="all when absent")
    run.add_argument("--release", action="store_true", help="the release's sizes instead of CI's")
    run.add_argument("--cases", type=int, help="so many cases instead")
    run.add_argument(
        "--shard", default="1/1", type=_shard, metavar="I/N", help="every N-th batch, beginning with the I-th"
    )
    run.add_argument("--out", type=Path, metavar="FILE", help="JSON lines; what is in there is not run again")
    run.add_argument("--only-case", type=int, metavar="K", help="this one, to look into it; its folder is kept")
    run.add_argument("--off", help="with --only-case: the protection to switch off")
    run.add_argument("--folder", type=Path, help="where stores are made; a temporary folder when absent")
    run.set_defaults(action=_run)
    adding = actions.add_parser("sum", help="add up the lines of runs")
    adding.add_argument("files", nargs="+", type=Path, metavar="FILE")
    adding.add_argument("--release", action="store_true", help="fail too where cases of the release's size are missing")
    adding.set_defaults(action=_sum)
    return parser


def _shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    shard = int(number), int(of)
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(text)
    return shard


def _list(given: argparse.Namespace, campaigns: dict[str, Campaign]) -> int:
    for campaign in campaigns.values():
        sizes = [f"{size:,}" if isinstance(size, int) else "all" for size in (campaign.ci, campaign.release)]
        print(f"{campaign.name:34} ci {sizes[0]:>9}  release {sizes[1]:>11}  {campaign.about}")
        for off in campaign.controls:
            print(f"{'':34} control: {off}")
        if reason := campaign.needs():
            print(f"{'':34} cannot run here: {reason}")
    return 0


def _run(given: argparse.Namespace, campaigns: dict[str, Campaign]) -> int:
    chosen = [campaigns[name] for name in given.names or campaigns]
    folder = Path(given.folder or tempfile.mkdtemp(prefix="wfstore-fault-"))
    if given.only_case is not None:
        return _only_case(chosen, given.only_case, given.off, folder)
    lines: list[Line] = []
    for campaign in chosen:
        cases = given.cases
        if cases is None:
            cases = 0 if campaign.needs() else campaign.size(given.release)
        lines += run_plan(Plan(campaign, cases, given.shard), folder, given.out)
    if given.folder is None and not any(line.get("failed") and not line["off"] for line in lines):
        shutil.rmtree(folder, ignore_errors=True)
    return _show(lines, campaigns)


def _only_case(chosen: list[Campaign], case: int, off: str | None, folder: Path) -> int:
    if len(chosen) != 1:
        print("--only-case goes with the name of one campaign", file=sys.stderr)
        return 2
    line = run_batch(chosen[0], range(case, case + 1), off, folder / "only")
    print(line["failures"][0][1] if line["failures"] else f"passed {line['counts']}")
    print(f"its folder, if it failed: {folder / 'only'}")
    return 1 if line["failed"] else 0


def _sum(given: argparse.Namespace, campaigns: dict[str, Campaign]) -> int:
    lines = read_lines(given.files)
    codes = sorted({line["code"] for line in lines if "code" in line})
    print(f"commits: {', '.join(codes)} (here: {code_version()})")
    return _show(lines, campaigns, complete=given.release)


def _show(lines: list[Line], campaigns: dict[str, Campaign], complete: bool = False) -> int:
    """A table of the lines; 1 if anything in it is not as it has to be."""
    sums = add_up(lines)
    bad = 0
    for (name, off), total in sorted(sums.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        if name not in campaigns:
            print(f"{name}: not a campaign any more")
            continue
        found = beyond(campaigns[name], off, total)
        if complete and off is None:
            found += _missing(campaigns[name], total)
        bad += bool(found)
        print(_row(campaigns[name], off, total, found))
    if complete:
        absent = [name for name in campaigns if (name, None) not in sums]
        bad += len(absent)
        print("".join(f"{name}: no line\n" for name in absent), end="")
    return 1 if bad else 0


def _missing(campaign: Campaign, total: Sum) -> list[str]:
    if total.skipped and not total.cases:
        return [f"skipped: {total.skipped}"]
    wanted = campaign.size(release=True)
    return [f"{wanted - total.cases} cases missing"] if total.cases < wanted else []


def _row(campaign: Campaign, off: str | None, total: Sum, found: list[str]) -> str:
    figures = [f"{key}={value:,}" for key, value in sorted(total.counts.items())]
    figures += [f"{key}={value:.3g}" for key, value in sorted(total.figures().items())]
    if total.skipped and not total.cases:
        return f"{campaign.name:34} skipped: {total.skipped}"
    what = f"control: {off}" if off else f"allowed {campaign.allowed}"
    verdict = "NOT OK: " + "; ".join(found) if found else "ok"
    row = f"{campaign.name:34} {what:34} cases {total.cases:>9,}  failed {total.failed:>6,}  {total.seconds:8.1f} s  "
    return row + f"{verdict}  {' '.join(figures)}"


if __name__ == "__main__":
    sys.exit(main())
