"""Puts a module of ours into Ray's own dashboard, and takes it out again.

Ray's dashboard loads every module in a folder of Ray's package, and has no other way in. So there is one file of ours
in it while that is asked for; nothing of Ray's is changed. It names the module that answers, `wfstore.engine.rayhead`,
and does nothing where that cannot be imported: a module that raises would take the whole dashboard with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from wfstore._version import __version__
from wfstore.errors import WfstoreError

ROUTE = "/api/wfstore/{workflow_id}"
FOLDER = "wfstore_observability"
_MARK = "Written by `wfstore ray-dashboard install`"
_TEXT = '''"""{mark} (wfstore {ours}, for Ray {rays}): {route}.

`wfstore ray-dashboard uninstall` removes it. Ray loads it because it lies in this folder.
"""

import logging

try:
    from wfstore.engine.rayhead import WfstoreHead  # noqa: F401
except Exception as error:  # Ray's dashboard would not start
    logging.getLogger(__name__).warning("wfstore is left out of the dashboard: %r", error)
'''
#: What the dashboard needs besides Ray itself; `pip install 'ray[default]'` brings it.
_NEEDED = ("aiohttp", "aiohttp_cors", "opencensus", "prometheus_client", "grpc")


class RayDashboardError(WfstoreError):
    """Ray's package is not as it has to be for this; nothing was written or removed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where our module lies, or would. ray_version: "" where it is not known; written: whether it is there now."""

    path: Path
    ray_version: str
    written: bool

    @property
    def folder(self) -> Path:
        return self.path.parent


def place(package: Path | None = None) -> Place:
    """Of the Ray that this Python imports, or the one at `package`. Raises RayDashboardError where there is none, or it
    loads no modules the way they are loaded here."""
    root = package or _package()
    modules = root / "dashboard" / "modules"
    if not modules.is_dir() or not (root / "dashboard" / "subprocesses" / "module.py").is_file():
        raise RayDashboardError(f"Ray at {root} has no dashboard that takes modules; Ray 2.60 has")
    path = modules / FOLDER / "__init__.py"
    if os.path.lexists(path.parent) and not _ours(path):
        raise RayDashboardError(f"{path.parent} is there, and wfstore did not write it; remove it by hand if you may")
    return Place(path, _ray_version(), path.exists())


def install(package: Path | None = None) -> Place:
    """Write the module; what an earlier version wrote is replaced. Raises RayDashboardError, OSError."""
    found = place(package)
    text = _TEXT.format(mark=_MARK, ours=__version__, rays=found.ray_version or "?", route=ROUTE)
    if found.written:
        _write(found.path, text)
    else:
        # Under its name only when it is whole: a head that starts meanwhile loads it, or does not see it.
        with tempfile.TemporaryDirectory(prefix=".wfstore-", dir=found.folder.parent) as draft:
            folder = Path(draft) / FOLDER
            folder.mkdir(mode=0o755)
            _write(folder / found.path.name, text)
            folder.rename(found.folder)
    return place(package)


def uninstall(package: Path | None = None) -> Place:
    """Remove the module and what Python made of it: Ray's package is as it was. Raises RayDashboardError, OSError."""
    found = place(package)
    if found.written:
        shutil.rmtree(found.folder)
    return place(package)


def missing() -> list[str]:
    """What Ray's dashboard needs and is not installed; without it there is no dashboard to be in."""
    return [name for name in _NEEDED if find_spec(name) is None]


def _package() -> Path:
    spec = find_spec("ray")
    if spec is None or spec.origin is None:
        raise RayDashboardError("this Python has no Ray")
    return Path(spec.origin).parent


def _ray_version() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return ""


def _ours(path: Path) -> bool:
    """Whether the folder holds our file and nothing else that anybody wrote."""
    try:
        there = set(os.listdir(path.parent))
        return not path.parent.is_symlink() and there <= {path.name, "__pycache__"} and _MARK in path.read_text("utf-8")
    except (OSError, ValueError):
        return False


def _write(path: Path, text: str) -> None:
    draft = path.with_name(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)
