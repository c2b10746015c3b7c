"""The demo's two workflows as DAGs: the analysis of the standard library, and the replay of a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wfstore import workflow
from wfstore.cli.demo import analysis
from wfstore.cli.demo.replay import OUTPUT_LIMIT_BYTES, replay, trace_output
from wfstore.traces import Trace


def named(function: Callable[..., Any]) -> Any:
    """The function as a task that goes by its own name, without that of its module."""
    return workflow.task(function).options(name=function.__name__)


def standard_library(marker: str) -> Any:
    """List the packages; measure each; add up; meanwhile one task fails once and is retried, and one always fails and
    is caught. `marker`: path of a file that does not exist yet."""
    listing = named(analysis.list_packages).bind()
    measure = named(analysis.measure_package)
    measures = [
        measure.options(metadata={"package": package}).bind(listing, package) for package in analysis.list_packages()
    ]
    total = named(analysis.add_up).bind("the standard library", *measures)
    flaky = named(analysis.largest_module).options(retry_exceptions=[TimeoutError], max_retries=2)
    caught = named(analysis.parse_old_source).options(catch_exceptions=True, max_retries=0)
    return named(analysis.summarize).bind(total, flaky.bind(listing, marker), caught.bind(), listing)


def trace_dag(trace: Trace, time_scale: float) -> Any:
    """One task for each recorded one, below the same parents. A trace with several ends gets one more task, which
    takes the outputs of them all."""
    again = workflow.task(replay)
    nodes: dict[str, Any] = {}
    for task in trace.tasks:  # parents first, so whatever its size, nothing here is recursive
        seconds = (task.runtime_s or 0.0) * time_scale
        size = min(int(task.output_bytes * time_scale), OUTPUT_LIMIT_BYTES)
        metadata = {"id": task.id, "recorded_runtime_s": task.runtime_s, "recorded_output_bytes": task.output_bytes}
        nodes[task.id] = again.options(name=task.category, metadata=metadata).bind(
            task.id, seconds, size, *(nodes[parent] for parent in task.parents)
        )
    ends = [nodes[task.id] for task in trace.tasks if not task.children]
    return ends[0] if len(ends) == 1 else named(trace_output).bind(*ends)
