"""The one door to what the extra `report` installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from wfstore.errors import WfstoreError


class ReportExtraMissingError(WfstoreError, ImportError):
    """The page needs a package that is not installed. ``name`` is the module's."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"an HTML page needs the module {name}, which is not installed: pip install 'wfstore[report]'", name=name
        )
        self.args = (name,)

    def __str__(self) -> str:
        return str(self.msg)


def load(name: str) -> Any:
    """The module of that name. Raises ReportExtraMissingError."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ReportExtraMissingError(name) from error
