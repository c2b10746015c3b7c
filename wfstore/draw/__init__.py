"""One renderer of DAGs and timelines to SVG: the dashboard, the notebook and the HTML report all use it.

Pure functions of rows as the views `tasks` and `attempts` have them (live ones too): dicts, of which a missing or odd
value costs that value and nothing else. What comes out is well-formed XML with every text of a user escaped, without
script, style attribute or anything to fetch. Colours are classes that `STYLE` gives a meaning, in light and dark.
"""

from __future__ import annotations

from wfstore.draw._dag import Dag, Group, dag
from wfstore.draw._legend import legend
from wfstore.draw._page import page
from wfstore.draw._style import STYLE
from wfstore.draw._text import bar_id, node_id
from wfstore.draw._timeline import Timeline, timeline

__all__ = ["STYLE", "Dag", "Group", "Timeline", "bar_id", "dag", "legend", "node_id", "page", "timeline"]
