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

_DISC = '<circle class="wf-solid" cx="8" cy="8" r="7.2"/>'
_RING = '<circle class="wf-line" cx="8" cy="8" r="6.4"/>'
#: In a box of 16 x 16: "wf-solid" is filled with the colour of the status, "wf-line" drawn, "wf-cut" in the paper's.
#: Their classes stand alone in the stylesheet: a <use> is a tree of its own, in which no ancestor is seen.
_SHAPES = {
    SUCCESSFUL: f'{_DISC}<path class="wf-cut" d="M4.6 8.3 7 10.7 11.4 5.7"/>',
    FAILED: '<path class="wf-solid" d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z"/>'
    '<path class="wf-cut" d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"/>',
    RUNNING: f'{_RING}<path class="wf-solid" d="M6.2 4.6 11.6 8 6.2 11.4z"/>',
    PENDING: f'{_RING}<path class="wf-line" d="M8 4.4V8l2.6 1.7"/>',
    RETRYING: '<path class="wf-line" d="M13.6 8A5.6 5.6 0 1 1 11.4 3.5"/>'
    '<path class="wf-solid" d="M10.2.6 15 2.4 11.3 6z"/>',
    CAUGHT: '<path class="wf-solid" d="M8 .6 14.4 3v4.6c0 3.6-2.6 6.3-6.4 7.9C4.2 13.9 1.6 11.2 1.6 7.6V3z"/>'
    '<path class="wf-cut" d="M8 4.3v4.2M8 10.8v.6"/>',
    CANCELED: f'{_RING}<path class="wf-line" d="M3.6 12.4 12.4 3.6"/>',
    SKIPPED: '<path class="wf-line" d="M2.5 3.5 7 8l-4.5 4.5M8.5 3.5 13 8l-4.5 4.5"/>',
    RESUMABLE: f'{_RING}<path class="wf-line" d="M6.2 5.3v5.4M9.8 5.3v5.4"/>',
    UNKNOWN: '<path class="wf-line" d="M8 1 15 8 8 15 1 8z"/><path class="wf-line" d="M8 5v3.5M8 10.5v.5"/>',
}  # fmt: skip


def status_class(status: str) -> str:
    """ "st-FAILED"; of what is no status of ours, "st-UNKNOWN"."""
    return f"st-{known(status)}"


def known(status: str) -> str:
    return status if status in _SHAPES else UNKNOWN


def icons(prefix: str = "") -> str:
    """The <defs> that `icon` refers to."""
    symbols = "".join(
        f'<symbol id="{prefix}icon-{status}" viewBox="0 0 16 16">{_SHAPES[status]}</symbol>' for status in STATUSES
    )
    return f"<defs>{symbols}</defs>"


def icon(status: str, x: float, y: float, prefix: str = "", size: int = 16) -> str:
    """The shape of a status, with its upper left corner at (x, y)."""
    place = f'x="{x:g}" y="{y:g}" width="{size}" height="{size}"'
    return f'<use class="icon" href="#{prefix}icon-{known(status)}" {place}/>'


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
.wf-draw .icon{{color:var(--wf-status)}}
.wf-solid{{fill:currentColor}}
.wf-line{{fill:none;stroke:currentColor;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}}
.wf-cut{{fill:none;stroke:var(--wf-paper);stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}}
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
