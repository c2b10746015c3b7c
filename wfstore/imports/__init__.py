"""Histories that another system wrote, made events of a store. Offline: it writes the log itself and needs no cluster.

It never imports Ray by itself; only what a user's own pickled function names may.
"""

from wfstore.imports.ray_workflow import import_ray_workflow
from wfstore.imports.report import Imported, ImportReport, Problem
from wfstore.imports.wfformat import import_wfformat

__all__ = ["ImportReport", "Imported", "Problem", "import_ray_workflow", "import_wfformat"]
