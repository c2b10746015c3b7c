"""The log on object storage keeps the contract of every log, in memory and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.log.test_contract import LogContract
from wfstore.log import open_reader, open_writer


class TestInMemory(LogContract):
    @pytest.fixture(autouse=True)
    def _place(self, memory: str) -> None:
        self.storage = memory

    def open(self, tmp_path: Path) -> Any:
        return open_writer(self.storage)

    def successor(self, writer: Any) -> Any:
        return open_writer(writer.storage)

    def reader(self, writer: Any) -> Any:
        return open_reader(writer.storage)


class TestOverHttp(TestInMemory):
    @pytest.fixture(autouse=True)
    def _place(self, s3: str) -> None:
        self.storage = s3
