"""The description of the API is valid, covers exactly the routes there are, and the answers are as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.dashboard.fakes import ACTION, BEARER
from wfstore.dashboard import openapi
from wfstore.dashboard.app import all_routes

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"


def machine_routes() -> list[Route]:
    return [r for r in all_routes() if isinstance(r, Route) and r.path.startswith(("/api", "/event"))]


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/openapi.json", headers=BEARER).json()
    return found


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document, cls=OpenAPIV31SpecValidator)


def test_it_covers_exactly_the_routes(document: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, found in document["paths"].items() for method in found}
    there = {
        (re.sub(r":\w+}", "}", route.path), method)
        for route in machine_routes()
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == there
    assert len(described) >= 13


def test_every_operation_says_what_it_is(document: dict[str, Any]) -> None:
    identifiers = []
    for route in machine_routes():
        assert hasattr(route.endpoint, openapi._ATTRIBUTE), f"{route.path} is not described"
        assert (route.endpoint.__doc__ or "").strip()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            identifiers.append(operation["operationId"])
            assert operation["summary"]
            names = {(item["in"], item["name"]) for item in operation["parameters"]}
            assert (("header", "X-Wfstore-Action") in names) == (method != "get" and path.startswith("/api/"))
            assert {"401", "403"} <= operation["responses"].keys()
    assert len(set(identifiers)) == len(identifiers)


QUESTIONS = [
    "/api/workflows",
    "/api/counts",
    "/api/workflows/good",
    "/api/workflows/good/tasks",
    "/api/workflows/good/attempts",
    "/api/workflows/good/runs",
    "/api/workflows/good/events",
]


@pytest.mark.parametrize("path", QUESTIONS)
def test_answers_are_as_described(client: TestClient, document: dict[str, Any], path: str) -> None:
    described = document["paths"][path.replace("good", "{workflow_id}")]["get"]["responses"]
    _check(document, described["200"], client.get(path, headers=BEARER).json())
    if "good" in path:
        _check(document, described["404"], client.get(path.replace("good", "nope"), headers=BEARER).json())


@pytest.mark.parametrize("action", ["open/cancel", "bad/resume", "good/rerun", "bad/delete", "bulk"])
def test_orders_are_answered_as_described(client: TestClient, document: dict[str, Any], action: str) -> None:
    workflow_id, _, verb = action.rpartition("/")
    path = f"/api/workflows/{{workflow_id}}/{verb}" if workflow_id else "/api/workflows/bulk"
    operation = document["paths"][path]["post"]
    many = {"action": "cancel", "filter": {"status": ["RUNNING"]}, "dry_run": False}
    body = {"by": "me"} if workflow_id else many
    jsonschema.validate(body, operation["requestBody"]["content"]["application/json"]["schema"])
    answer = client.post(f"/api/workflows/{action}", headers=ACTION, json=body)
    _check(document, operation["responses"]["200"], answer.json())
    _check(document, operation["responses"]["401"], client.post(f"/api/workflows/{action}").json())


def _check(document: dict[str, Any], described: dict[str, Any], answer: Any) -> None:
    schema = described["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document["components"]})


def test_the_reference_page_names_every_route(document: dict[str, Any]) -> None:
    page = PAGE.read_text()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in page, f"{method.upper()} {path} is not in {PAGE.name}"
    for event in ("ready", "changes", "snapshot-needed", "unavailable", "heartbeat"):
        assert f"`{event}`" in page
