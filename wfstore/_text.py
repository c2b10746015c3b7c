"""Values as people read them: durations, sizes, times, one line of any text. Pure; machines get the raw values.

Terminal, drawings, reports and dashboard write them alike; `dashboard/static/format.mjs` does so in the browser.
"""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float | None) -> str:
    """0.004 -> "4.0 ms", 1.234 -> "1.23 s", 75 -> "1 min 15 s", 3700 -> "1 h 01 min"; "" for None."""
    if seconds is None:
        return ""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: int | None) -> str:
    """Bytes in decimal units: 999 -> "999 B", 1234567 -> "1.2 MB"; "" for None."""
    if count is None:
        return ""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def number(count: int | None) -> str:
    """4000 -> "4,000"; "" for None."""
    return "" if count is None else f"{count:,}"


def decimal(value: float) -> str:
    """At most six digits behind the point, and no more than it takes: 0.25 -> "0.25", 3.0 -> "3", 1 / 12000 ->
    "8.33e-05"."""
    if isinstance(value, int) or not abs(value) < 1e15:
        return str(value)
    if 0 < abs(value) < 1e-4:
        return f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".")


def clock(when: datetime | None) -> str:
    """A time in UTC to the second, without its zone: the header says which; "" for None."""
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M:%S")


def iso(when: datetime) -> str:
    """ISO 8601 in UTC with microseconds; a time without zone is one in UTC."""
    utc = when if when.tzinfo is None else when.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def safe(value: object) -> str:
    """Any text without line breaks and control characters: names and errors of users must not drive a terminal."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def first_line(value: object) -> str:
    """The first line of a text that has any, made safe."""
    lines = str(value or "").strip().splitlines()
    return safe(lines[0]) if lines else ""
