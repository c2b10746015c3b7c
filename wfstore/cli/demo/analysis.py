"""The demo's work: read every module of the installed standard library and measure it.

Plain functions without a trace of workflows in them, except the one that returns a continuation. They read source
files and import none of them.
"""

from __future__ import annotations

import ast
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

#: Not the library's own work: its tests are larger than itself, and site-packages is other people's.
_LEFT_OUT = frozenset({"test", "tests", "site-packages", "dist-packages", "__pycache__", "idle_test"})
#: A package with more modules than this is measured in parts, by a continuation.
LARGE = 40
#: Modules in one part of a large package.
PART = 25

_NESTING = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

#: package -> its modules, as paths relative to the standard library
Listing = dict[str, list[str]]


class Measure(TypedDict):
    """What was counted in some modules."""

    package: str
    modules: int
    lines: int
    functions: int
    classes: int
    depth: int
    deepest: str
    unreadable: int


def library() -> Path:
    """Where the standard library of this Python lies."""
    return Path(sysconfig.get_paths()["stdlib"])


def list_packages() -> Listing:
    """Every package of the standard library; single modules stand together by their first letter."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    root = library()
    for path in _sources(root):
        parts = path.relative_to(root).parts
        package = parts[0] if len(parts) > 1 else f"modules {parts[0].lstrip('_')[0].lower()}"
        found[package].append("/".join(parts))
    return {package: sorted(modules) for package, modules in sorted(found.items())}


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _LEFT_OUT or path.name.startswith("config-") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _sources(path)
        elif path.suffix == ".py":
            yield path


def measure_package(listing: Listing, package: str) -> Any:
    """The measure of one package; of a large one, a continuation that measures its parts and adds them up."""
    modules = listing[package]
    if len(modules) <= LARGE:
        return measure_modules(package, modules)
    from wfstore import workflow
    from wfstore.cli.demo.dags import named

    part = named(measure_modules)
    parts = [part.bind(package, modules[start : start + PART]) for start in range(0, len(modules), PART)]
    return workflow.continuation(named(add_up).bind(package, *parts))


def measure_modules(package: str, modules: list[str]) -> Measure:
    """Parse each module and count what is in it. What does not parse counts as unreadable."""
    total = Measure(package=package, modules=0, lines=0, functions=0, classes=0, depth=0, deepest="", unreadable=0)
    for module in modules:
        source = (library() / module).read_bytes()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            total["unreadable"] += 1
            continue
        depth = 0
        for node, level in _nodes(tree):
            total["functions"] += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            total["classes"] += isinstance(node, ast.ClassDef)
            depth = max(depth, level)
        total["modules"] += 1
        total["lines"] += source.count(b"\n")
        if depth > total["depth"]:
            total["depth"], total["deepest"] = depth, module
    return total


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Every node with how deeply blocks are nested there; `elif` is as deep as its `if`."""
    todo = [(tree, 0)]
    while todo:
        node, level = todo.pop()
        yield node, level
        below = level + isinstance(node, _NESTING)
        orelse = node.orelse if isinstance(node, ast.If) else []
        alternative = orelse[0] if len(orelse) == 1 and isinstance(orelse[0], ast.If) else None
        todo.extend((child, level if child is alternative else below) for child in ast.iter_child_nodes(node))


def add_up(package: str, *parts: Measure) -> Measure:
    """One measure of several."""
    deepest = max(parts, key=lambda part: part["depth"])
    return Measure(
        package=package,
        modules=sum(part["modules"] for part in parts),
        lines=sum(part["lines"] for part in parts),
        functions=sum(part["functions"] for part in parts),
        classes=sum(part["classes"] for part in parts),
        depth=deepest["depth"],
        deepest=deepest["deepest"],
        unreadable=sum(part["unreadable"] for part in parts),
    )


def largest_module(listing: Listing, marker: str) -> tuple[str, int]:
    """The largest source file and its bytes. Fails on the first attempt, on purpose: `marker` is a file that is there
    from the second on."""
    try:
        Path(marker).touch(exist_ok=False)
    except (FileExistsError, FileNotFoundError):  # its folder goes with the demo; a resume may come later
        sizes = {module: (library() / module).stat().st_size for modules in listing.values() for module in modules}
        return max(sizes.items(), key=lambda item: item[1])
    raise TimeoutError("the first attempt fails on purpose; the next one will do")


def parse_old_source() -> int:
    """Nodes in a program of Python 2: no Python 3 can parse it, so it always fails."""
    return sum(1 for _ in ast.walk(ast.parse("print 'hello, world'", filename="python2.py")))


def summarize(
    total: Measure, largest: tuple[str, int], old: tuple[int | None, Exception | None], packages: Listing
) -> dict[str, Any]:
    """The answer of the demo."""
    return {
        "packages": len(packages),
        "modules": total["modules"],
        "lines": total["lines"],
        "functions": total["functions"],
        "classes": total["classes"],
        "deepest_nesting": total["depth"],
        "deepest_module": total["deepest"],
        "largest_module": largest[0],
        "largest_module_bytes": largest[1],
        "caught": f"{type(old[1]).__name__}: {old[1]}" if old[1] else None,
    }
