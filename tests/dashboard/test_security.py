"""One test for each clause of "Secure by default"."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.dashboard.fakes import ACTION, BEARER, TOKEN, FakeObservability
from wfstore.dashboard import security, settings
from wfstore.dashboard.app import all_routes, create_app
from wfstore.dashboard.openapi import shown_path
from wfstore.dashboard.security import HEADERS, cookie_value
from wfstore.dashboard.settings import Settings

COOKIE = f"wfstore-8266={cookie_value(TOKEN)}"
LINK = f"/?token={TOKEN}"


def served(observability: FakeObservability | None = None, **facts: object) -> TestClient:
    made = Settings(TOKEN, **facts)  # type: ignore[arg-type]
    app = create_app(observability or FakeObservability(), made)  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1:8266", follow_redirects=False)


# -- 127.0.0.1 --------------------------------------------------------------------------------------------------------


def test_it_listens_on_this_machine_only() -> None:
    assert settings.make(token="x").host == "127.0.0.1"
    assert Settings("x").loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_a_wider_bind_without_a_token_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.TOKEN_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=r"--token"):
        settings.make(host=host)
    assert settings.make(host=host, token="chosen").token == "chosen"


def test_a_token_of_the_environment_is_one_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.TOKEN_VARIABLE, "of-the-environment")
    assert settings.make(host="0.0.0.0").token == "of-the-environment"


# -- the token's file -------------------------------------------------------------------------------------------------


def test_the_token_is_kept_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "wfstore" / "dashboard-token"
    token = settings.kept_token(path)
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert settings.kept_token(path) == token
    assert os.listdir(path.parent) == [path.name]


def test_it_lies_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert settings.token_file() == tmp_path / "wfstore" / "dashboard-token"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert settings.token_file() == Path.home() / ".local" / "state" / "wfstore" / "dashboard-token"


def test_one_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = settings.kept_token(path)
    path.chmod(0o644)
    fresh = settings.kept_token(path)
    assert fresh != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "short", "a" * 5000, "é" * 43])
def test_one_that_is_none_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    assert settings.kept_token(path) == settings.kept_token(path) != text


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x" * 43)
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        settings.kept_token(tmp_path / "token")


@pytest.mark.parametrize("token", ["", "with space", "semi;colon", "new\nline", "é", "x" * 513])
def test_a_token_that_no_header_could_carry(token: str) -> None:
    with pytest.raises(ValueError, match="the token must be"):
        Settings(token)


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(Settings(TOKEN))


# -- a token on every route -------------------------------------------------------------------------------------------


def paths() -> list[str]:
    declared = [shown_path(route) for route in all_routes() if hasattr(route, "path")]  # type: ignore[arg-type]
    return [*declared, "/static/wfstore.css", "/nowhere", "/api/nowhere", "/docs", "/favicon.ico"]


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_without_a_token_nothing_is_answered(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path, headers={"X-Wfstore-Action": "1"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": f"wfstore-8266={TOKEN}"},
        {"Cookie": f"wfstore-1={cookie_value(TOKEN)}"},
        {"Cookie": f"wfstore-8266={cookie_value('other')}"},
        {"Cookie": "wfstore-8266="},
    ],
)
def test_a_wrong_token(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/api/workflows", headers=headers).status_code == 401


def test_the_token_as_bearer_or_by_cookie(client: TestClient) -> None:
    assert client.get("/api/workflows", headers=BEARER).status_code == 200
    assert client.get("/api/workflows", headers={"Cookie": COOKIE}).status_code == 200
    assert client.get("/api/workflows", headers={"Cookie": f"wfstore-8266=old; a=b; {COOKIE}"}).status_code == 200


def test_the_api_takes_no_token_from_a_query(client: TestClient) -> None:
    assert client.get(f"/api/workflows?token={TOKEN}").status_code == 401


def test_comparisons_take_constant_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(given: bytes, secret: bytes) -> bool:
        compared.append(given)
        return given == secret

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    client.get("/api/workflows", headers={"Authorization": "Bearer a", "Cookie": "wfstore-8266=b"})
    client.get("/?token=c")
    assert compared == [b"a", b"b", b"c"]


def test_a_websocket_is_turned_away(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/stream", headers=BEARER):
        pass


# -- the link and its cookie ------------------------------------------------------------------------------------------


def test_the_link_sets_the_cookie_and_the_token_leaves_the_address(client: TestClient) -> None:
    answer = client.get(LINK, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("wfstore-") and TOKEN not in cookie
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert client.get("/api/workflows").status_code == 200
    assert client.get(LINK, follow_redirects=False).status_code == 303, "another browser may open it too"


@pytest.mark.parametrize(
    ("asked", "clean"),
    [
        ("/sql?token={}", "/sql"),
        ("/workflows/a%2Fb?run=2&token={}&x=%26", "/workflows/a%2Fb?run=2&x=%26"),
        ("//evil.example/x?token={}", "/evil.example/x"),
        ("/%0d%0aSet-Cookie:x?token={}", "/%0d%0aSet-Cookie:x"),
        ("/\\evil.example?token={}", "/evil.example"),
    ],
)
def test_the_link_leads_nowhere_else(client: TestClient, asked: str, clean: str) -> None:
    answer = client.get("http://127.0.0.1:8266" + asked.format(TOKEN), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, clean)


def test_a_wrong_link(client: TestClient) -> None:
    answer = client.get("/?token=wrong", follow_redirects=False)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_link_on_another_site_is_followed_by_a_page_of_ours(client: TestClient) -> None:
    """A browser would send no SameSite=Strict cookie after a redirect that another site's page began."""
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    first = client.get('/workflows/"><script>?token=' + TOKEN, headers=foreign, follow_redirects=False)
    assert first.status_code == 200
    assert "<script>" not in first.text
    assert 'http-equiv="refresh"' in first.text
    client.cookies.clear()
    plain = client.get("/workflows/x?a=1&b=2", headers=foreign)
    assert 'url=/workflows/x?a=1&amp;b=2"' in plain.text, "the second try carries the cookie, if there is one"
    ours = {**foreign, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/workflows/x", headers=ours).status_code == 401


# -- Host -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8266", "localhost:8266", "LOCALHOST", "[::1]:9000", "127.0.0.1:1"])
def test_names_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get("/api/workflows", headers={**BEARER, "Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:8266", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.0.1", 403),
        ("169.254.169.254", 403),
        ("127.0.0.1@evil.example", 400),
        ("127.0.0.1, evil.example", 400),
        ("", 400),
        ("127.0.0.1:8266/x", 400),
        ("127.0.0.1:999999", 400),
    ],
)
def test_dns_rebinding(client: TestClient, host: str, status: int) -> None:
    for path in ("/api/workflows", "/", LINK):
        answer = client.get(path, headers={**BEARER, "Host": host}, follow_redirects=False)
        assert answer.status_code == status
        assert "set-cookie" not in answer.headers


def test_hosts_of_a_wider_bind() -> None:
    client = served(host="0.0.0.0", allowed_hosts=("flows.example",))
    for host, status in [("10.0.0.7:8266", 200), ("flows.example", 200), ("evil.example", 403), ("localhost", 200)]:
        assert client.get("/api/workflows", headers={**BEARER, "Host": host}).status_code == status


# -- methods, origins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "MADEUP"])
def test_only_get_and_head_without_the_action_header(
    client: TestClient, observability: FakeObservability, method: str
) -> None:
    for headers in (BEARER, {"Cookie": COOKIE}, {**BEARER, "X-Wfstore-Action": "true"}):
        answer = client.request(method, "/api/workflows/open/cancel", headers=headers)
        assert answer.status_code == 403
    assert observability.actions == []


def test_the_action_header_lets_it_through(client: TestClient, observability: FakeObservability) -> None:
    assert client.post("/api/workflows/open/cancel", headers=ACTION).status_code == 200
    assert client.get("/api/workflows/open/cancel", headers=BEARER).status_code == 405
    assert len(observability.actions) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://127.0.0.1:8266.evil.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:8266", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_other_origins_change_nothing(
    client: TestClient, observability: FakeObservability, headers: dict[str, str]
) -> None:
    sent = {**headers, "Cookie": COOKIE, "X-Wfstore-Action": "1"}
    assert client.post("/api/workflows/open/cancel", headers=sent).status_code == 403
    assert observability.actions == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8266", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://127.0.0.1:8266"},
    ],
)
def test_our_own_pages_do(client: TestClient, headers: dict[str, str]) -> None:
    sent = {**headers, "Cookie": COOKIE, "X-Wfstore-Action": "1"}
    assert client.post("/api/workflows/open/cancel", headers=sent).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
def test_other_sites_load_nothing(client: TestClient, site: str, mode: str) -> None:
    """As an image, a script, a frame: pages of another port of this machine would send the cookie along."""
    headers = {"Cookie": COOKIE, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "iframe"}
    assert client.get("/api/workflows", headers=headers).status_code == 403
    assert client.get("/static/wfstore.css", headers=headers).status_code == 403


def test_events_from_programs_need_the_bearer_token_only(client: TestClient) -> None:
    path = "/event/nothing_here"
    assert client.post(path, headers=BEARER).status_code == 404
    assert client.post(path, headers={"Cookie": COOKIE}).status_code == 403
    assert client.post(path).status_code == 401


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/workflows", "/api/nowhere", "/nowhere", "/static/wfstore.css", LINK])
@pytest.mark.parametrize("headers", [{}, BEARER, {"Host": "evil.example"}, {**BEARER, "Origin": "http://evil.example"}])
def test_every_answer_is_sealed(client: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = client.get(path, headers=headers, follow_redirects=False)
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "server" not in answer.headers


def test_no_cors(client: TestClient) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/api/workflows/open/cancel", headers=asked)
    assert answer.status_code >= 400
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_large_body_is_refused(observability: FakeObservability) -> None:
    client = served(observability, max_body_bytes=1000)
    fits = client.post("/api/workflows/bulk", headers=ACTION, content=b" " * 1000)
    assert fits.status_code == 400
    for content in (b" " * 1001, iter([b" " * 600, b" " * 600])):
        answer = client.post("/api/workflows/bulk", headers=ACTION, content=content)
        assert answer.status_code == 413
        assert answer.json()["error"]["type"] in ("Content Too Large", "Request Entity Too Large")


def test_what_failed_is_in_no_answer(client: TestClient, observability: FakeObservability) -> None:
    observability.rows = None  # type: ignore[assignment]
    answer = client.get("/api/workflows/open", headers=BEARER)
    assert answer.status_code == 500
    assert answer.json() == {"error": {"type": "TypeError", "message": "The server failed at this; its log says why."}}
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


# -- size of a request's head -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/counts", {"X-A": "a" * 70_000}),
        ("/api/counts", {f"X-{number}": "a" * 60 for number in range(1_100)}),
        ("/api/counts?a=" + "b" * 65_500, {}),
        ("/" + "a" * 65_450, {"X-A": "a" * 100}),
    ],
    ids=["one header", "many headers", "the query", "the path"],
)
def test_a_head_beyond_64_kib_is_refused_however_it_arrives(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    answer = client.get(path, headers=headers | BEARER)
    assert answer.status_code == 431
    assert "65,536" in answer.text
