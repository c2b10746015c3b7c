"""What the classes of the drawings mean: colours in light and dark with the contrast of WCAG 2 AA, fonts, lines; and
the shapes that tell statuses apart without colour."""

from __future__ import annotations

from wfstore.model.statuses import (
    CANCELED,
    CAUGHT,
    FAILED,
    PENDING,
    RESUMABLE,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCESSFUL,
    TASK_STATUSES,
)

UNKNOWN = "UNKNOWN"
STATUSES = (*TASK_STATUSES, RESUMABLE, UNKNOWN)

_DISC = "M8 .8a7.2 7.2 0 1 1 0 14.4A7.2 7.2 0 1 1 8 .8Z"
_RING = f"{_DISC}M8 2.4a5.6 5.6 0 1 0 0 11.2A5.6 5.6 0 1 0 8 2.4Z"
#: In a box of 16 x 16, filled: what turns the other way is cut out. One path each and no <use>, which is a tree of its
#: own: with a thousand of them, a browser has a third less to style.
SHAPES = {
    SUCCESSFUL: f"{_DISC}M4 8.9 7 12 12.1 6.3 10.7 5.1 6.9 9.4 5.2 7.7Z",
    FAILED: "M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5Z"
    "M5.4 4.1 4.1 5.4 6.7 8 4.1 10.6 5.4 11.9 8 9.3 10.6 11.9 11.9 10.6 9.3 8 11.9 5.4 10.6 4.1 8 6.7Z",
    RUNNING: f"{_RING}M6.2 4.6 11.6 8 6.2 11.4Z",
    PENDING: f"{_RING}M7.2 4.2h1.6v3.4l2.3 1.5-.9 1.3-3-2Z",
    RETRYING: "M14.4 8A6.4 6.4 0 1 1 11.9 2.9L10.9 4.2A4.8 4.8 0 1 0 12.8 8ZM10.2.6 15 2.4 11.3 6Z",
    CAUGHT: "M8 .6 14.4 3v4.6c0 3.6-2.6 6.3-6.4 7.9C4.2 13.9 1.6 11.2 1.6 7.6V3Z"
    "M7.1 4.1v4.7h1.8V4.1ZM7.1 10.2v1.8h1.8v-1.8Z",
    CANCELED: f"{_RING}M3 11.8 11.8 3 13 4.2 4.2 13Z",
    SKIPPED: "M1.9 4.1 3.1 2.9 8.2 8 3.1 13.1 1.9 11.9 5.8 8ZM7.9 4.1 9.1 2.9 14.2 8 9.1 13.1 7.9 11.9 11.8 8Z",
    RESUMABLE: f"{_RING}M5.4 5.2H7v5.6H5.4ZM9 5.2h1.6v5.6H9Z",
    UNKNOWN: "M8 .2 15.8 8 8 15.8.2 8ZM8 2.5 2.5 8 8 13.5 13.5 8ZM7.2 5h1.6v3.6H7.2ZM7.2 9.6h1.6v1.6H7.2Z",
}


def status_class(status: str) -> str:
    """ "st-FAILED"; of what is no status of ours, "st-UNKNOWN"."""
    return f"st-{known(status)}"


def known(status: str) -> str:
    return status if status in SHAPES else UNKNOWN


def symbols(prefix: str) -> str:
    """The shapes as <symbol>s with ids PREFIXSTATUS, for a page to refer to."""
    return "".join(
        f'<symbol id="{prefix}{status}" viewBox="0 0 16 16"><path fill="currentColor" d="{SHAPES[status]}"/></symbol>'
        for status in STATUSES
    )


def icon(status: str, x: float, y: float, size: int = 16) -> str:
    """The shape of a status, with its upper left corner at (x, y)."""
    scale = "" if size == 16 else f" scale({size / 16:g})"
    return f'<path class="icon" transform="translate({x:g} {y:g}){scale}" d="{SHAPES[known(status)]}"/>'


_LIGHT = {
    "paper": "#ffffff", "ink": "#1b1f24", "quiet": "#57606a", "grid": "#d5dae0", "shade": "#f4f6f8", "edge": "#848d97",
    SUCCESSFUL: "#1a7f37", FAILED: "#cf222e", RUNNING: "#0b62c4", PENDING: "#57606a", RETRYING: "#9a5b00",
    CAUGHT: "#8250df", CANCELED: "#a3195b", SKIPPED: "#6b6357", RESUMABLE: "#9a5b00", UNKNOWN: "#57606a",
}  # fmt: skip
_DARK = {
    "paper": "#14171b", "ink": "#e6e9ed", "quiet": "#9aa4af", "grid": "#363d46", "shade": "#1d2127", "edge": "#6f7984",
    SUCCESSFUL: "#46b35f", FAILED: "#f2676b", RUNNING: "#62a8f5", PENDING: "#9aa4af", RETRYING: "#e69a3c",
    CAUGHT: "#b394f4", CANCELED: "#ef7fb0", SKIPPED: "#b3a999", RESUMABLE: "#e69a3c", UNKNOWN: "#9aa4af",
}  # fmt: skip


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--wf-{name}:{colour};" for name, colour in colours.items())


def _statuses() -> str:
    return "\n".join(f".wf-draw .st-{status}{{--wf-status:var(--wf-{status})}}" for status in STATUSES)


#: The stylesheet of every drawing. A page links to it or has it once; nothing in it reaches outside `.wf-draw`.
STYLE = f"""
.wf-draw{{color-scheme:light dark;{_variables(_LIGHT)}}}
@media (prefers-color-scheme:dark){{.wf-draw{{{_variables(_DARK)}}}}}
{_statuses()}
.wf-draw{{background:var(--wf-paper);fill:var(--wf-ink);color:var(--wf-ink);font:12px system-ui,sans-serif}}
.wf-draw .icon{{fill:var(--wf-status)}}
.wf-draw .box{{fill:color-mix(in srgb,var(--wf-status) 9%,var(--wf-paper));stroke:var(--wf-status);stroke-width:1.2}}
.wf-draw .st-PENDING .box,.wf-draw .st-SKIPPED .box{{fill:var(--wf-paper);stroke-dasharray:4 3}}
.wf-draw .st-FAILED .box,.wf-draw .st-RUNNING .box{{stroke-width:2}}
.wf-draw .behind{{fill:var(--wf-paper);stroke:var(--wf-status);stroke-opacity:.6}}
.wf-draw .ring{{fill:none;stroke:var(--wf-ink);stroke-width:2}}
.wf-draw .name{{font-weight:600}}
.wf-draw .facts,.wf-draw .count{{font-size:10.5px;fill:var(--wf-quiet)}}
.wf-draw .track{{fill:var(--wf-grid)}}
.wf-draw .progress,.wf-draw .part{{fill:var(--wf-status)}}
.wf-draw .edge{{fill:none;stroke:var(--wf-edge);stroke-width:1.2}}
.wf-draw .edge.many{{stroke-width:2.2}}
.wf-draw .edge.created{{stroke-dasharray:5 4}}
.wf-draw .edge.critical{{stroke:var(--wf-ink);stroke-width:2.2}}
.wf-draw .count{{text-anchor:middle;paint-order:stroke;stroke:var(--wf-paper);stroke-width:4px;stroke-linejoin:round}}
.wf-draw a{{text-decoration:none}}
.wf-draw a:focus-visible{{outline:none}}
.wf-draw a:focus-visible .box,.wf-draw a:hover .box{{stroke-width:3}}
.wf-draw a:focus-visible text,.wf-draw a:hover text.name{{text-decoration:underline}}
.wf-draw .axis text{{font-size:11px;fill:var(--wf-quiet);text-anchor:middle}}
.wf-draw .axis .since{{text-anchor:start}}
.wf-draw .axis path{{stroke:var(--wf-grid);fill:none}}
.wf-draw .stripes{{fill:var(--wf-shade)}}
.wf-draw .cutout path{{fill:var(--wf-grid);fill-opacity:.55;stroke:var(--wf-edge);stroke-dasharray:2 3}}
.wf-draw .queue{{fill:var(--wf-paper);stroke:var(--wf-edge)}}
.wf-draw .run{{fill:var(--wf-status)}}
.wf-draw .before{{stroke:var(--wf-edge);stroke-dasharray:1 3}}
.wf-draw .fetch{{fill:var(--wf-edge)}}
.wf-draw .store{{fill:var(--wf-ink)}}
.wf-draw .waits .run{{fill:color-mix(in srgb,var(--wf-status) 35%,var(--wf-paper));stroke:var(--wf-status)}}
.wf-draw .st-FAILED .run{{fill:color-mix(in srgb,var(--wf-status) 35%,var(--wf-paper))}}
.wf-draw .st-FAILED .run,.wf-draw .st-CANCELED .run{{stroke:var(--wf-status);stroke-width:1.5}}
.wf-draw .st-CANCELED .run{{fill:var(--wf-paper);stroke-dasharray:4 2}}
.wf-draw .said{{font-size:11px;fill:var(--wf-quiet)}}
.wf-draw .critical .run{{stroke:var(--wf-ink);stroke-width:2}}
.wf-draw.legend{{display:inline-block}}
@media (prefers-reduced-motion:no-preference){{
.wf-draw .st-RUNNING .icon{{animation:wf-pulse 1.6s ease-in-out infinite}}
}}
@keyframes wf-pulse{{50%{{opacity:.45}}}}
@media (forced-colors:active){{.wf-draw .box,.wf-draw .edge,.wf-draw .run,.wf-draw .ring{{stroke:CanvasText}}}}
""".strip()
