"""The stylesheet: contrast as WCAG 2 AA wants it, in light and dark, and a shape for each status."""

from __future__ import annotations

import pytest

from tests.draw.graphs import SVG, parsed, with_class
from wfstore.draw import STYLE, legend
from wfstore.draw._style import _DARK, _LIGHT, SHAPES, STATUSES, UNKNOWN, icon, status_class
from wfstore.model.statuses import TASK_STATUSES

#: The share of a status's colour in the face of a box.
FACE = 0.09


def mixed(colour: str, paper: str, share: float) -> str:
    pairs = zip(rgb(colour), rgb(paper), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [value / 255 for value in rgb(colour)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [_LIGHT, _DARK], ids=["light", "dark"])
def test_contrast_is_that_of_wcag_aa(colours: dict[str, str]) -> None:
    paper = colours["paper"]
    assert f"var(--wf-status) {FACE:.0%}" in STYLE
    for status in STATUSES:
        face = mixed(colours[status], paper, FACE)
        for text in ("ink", "quiet"):
            assert contrast(colours[text], face) >= 4.5, (status, text)
        for ground in (face, paper, colours["shade"]):
            assert contrast(colours[status], ground) >= 3, status
    for text in ("ink", "quiet"):
        assert contrast(colours[text], colours["shade"]) >= 4.5
    assert contrast(colours["edge"], paper) >= 3


def test_every_status_has_a_colour_and_a_shape_of_its_own() -> None:
    assert set(TASK_STATUSES) <= set(STATUSES)
    for status in STATUSES:
        assert f".st-{status}{{" in STYLE
        assert status_class(status) == f"st-{status}"
    assert len(set(SHAPES.values())) == len(SHAPES) == len(STATUSES)
    assert status_class("' onload=") == "st-UNKNOWN"
    assert SHAPES[UNKNOWN] in icon("nonsense", 0, 0)


def test_a_legend_says_how_many() -> None:
    text = legend({"SUCCESSFUL": 4000, "FAILED": 2}, critical=True, created=True, standalone=True)
    words = [element.text for element in parsed(text).iter() if element.tag.endswith("}text")]
    assert words == ["4,000 SUCCESSFUL", "2 FAILED", "critical path", "continuation"]


def test_the_legend_of_a_timeline_names_every_part() -> None:
    root = parsed(legend({}, spent=True))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words[1:4] == ["Ray's queue", "fetching arguments", "user code"] and len(words) == 7
    assert words[6] == "failed attempt" and with_class(root, "st-FAILED")
    assert "critical path" in [text.text for text in parsed(legend({}, spent=True, critical=True)).iter(f"{SVG}text")]
    for name in ("before", "queue", "fetch", "run", "store", "waits"):
        assert with_class(root, name), name
    parsed(legend({}))
