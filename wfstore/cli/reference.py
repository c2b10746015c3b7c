"""Makes docs/reference/cli.md out of the commands' own help:
``python -m wfstore.cli.reference > docs/reference/cli.md``.

The page has nothing that `--help` does not know, apart from what all verbs share.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import typer

from wfstore.cli.app import HELP_OPTIONS, app

_WIDTH = 100
_INTRODUCTION = """\
# The command line

<!-- Made by `python -m wfstore.cli.reference > docs/reference/cli.md`; change the commands' docstrings instead. -->

`wfstore VERB [OPTIONS]`, or `python -m wfstore VERB [OPTIONS]`.

What all verbs share:

- `--storage URI` names the store. Without it `$WFSTORE_STORAGE` counts, then `$RAY_WORKFLOW_STORAGE`, then
  `<tmp>/ray/workflow_data`. `demo` is the exception: it uses `./wfstore-demo`.
- `--json` prints one JSON document (`tail`: one line for each event). Times are ISO 8601 in UTC, durations seconds,
  sizes bytes. Without it durations and sizes carry their unit.
- On a terminal tables are shortened to its width, and a line below names the columns that found no room; in a pipe
  nothing is shortened and there are no colours.
- Progress is shown on a terminal only, on stderr.
- `ls`, `show`, `history`, `tail`, `sql`, `report`, `dashboard`, `verify`, `backup` and `stats` read the store's files:
  they need no Ray, no server and no lock, and do not disturb whoever writes. `demo`, `resume`, `rerun`, `cancel`,
  `delete` and `dashboard --ray` join the Ray of this machine or of `$RAY_ADDRESS`, and start a local one where there is
  none.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused, not found, or something is wrong with the store; one line on stderr says what |
| 2 | wrong usage |
| 130 | interrupted by Ctrl-C |
"""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join([_INTRODUCTION, *(f"## {name}\n\n```text\n{text}\n```\n" for name, text in help_texts())])


def help_texts() -> Iterator[tuple[str, str]]:
    """(verb, its help)."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    top = typer.Context(group, info_name="wfstore")
    for name, command in group.commands.items():
        context = typer.Context(
            command,
            info_name=name,
            parent=top,
            terminal_width=_WIDTH,
            max_content_width=_WIDTH,
            help_option_names=HELP_OPTIONS,
        )
        yield name, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


if __name__ == "__main__":
    sys.stdout.write(page())
