"""Who may ask what: names, origins, tokens, sessions, sizes; and what a browser is told it may do."""

import asyncio
import re
from pathlib import Path

import pytest

from germline.client import Client
from germline.dashboard.server import Dashboard
from germline.dashboard.settings import DashboardSettings
from master.server import Master
from tests.germline.dashboard.house import fetch, shown, spec_of

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of these tests
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' "
    "blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PATHS = ("/", "/e/one", "/api/experiments", "/api/nothing", "/nowhere", "/healthz")
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_says_what_browsers_may_do(dashboard: Dashboard, path: str) -> None:
    headers = (await fetch(dashboard.address, path)).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1@evil.example"]
)
async def test_a_name_that_is_not_ours_is_misdirected(dashboard: Dashboard, host: str) -> None:
    answer = await fetch(dashboard.address, "/api/experiments", headers={"host": host})
    assert answer.status == 421
    assert "--host-name" in answer.told["error"]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9", "10.1.2.3:80", "Board.example:99"])
async def test_our_names_and_any_address_are_ours(master: Master, host: str) -> None:
    async with shown(master.address, host_names=("board.example",)) as dashboard:
        assert (await fetch(dashboard.address, "/healthz", headers={"host": host})).status == 200


async def test_without_a_token_nothing_is_shown_but_the_door(master: Master) -> None:
    async with shown(master.address, token=TOKEN) as dashboard:
        refused = await fetch(dashboard.address, "/api/experiments")
        assert (refused.status, list(refused.told)) == (401, ["error"])
        page = await fetch(dashboard.address, "/e/one")
        assert page.status == 401
        assert b'data-door="closed"' in page.body
        assert (await fetch(dashboard.address, "/api/stream?experiments")).status == 401
        assert (await fetch(dashboard.address, "/healthz")).body == b"ok\n"


async def test_a_link_becomes_a_session_without_the_token_in_it(master: Master) -> None:
    async with shown(master.address, token=TOKEN) as dashboard:
        assert TOKEN not in dashboard.link
        link = dashboard.link.removeprefix(dashboard.address).replace("/?", "/e/one?axis=frames&")
        let_in = await fetch(dashboard.address, link)
        assert (let_in.status, let_in.headers["location"]) == (303, "/e/one?axis=frames")
        cookie = let_in.headers["set-cookie"]
        port = dashboard.address.rpartition(":")[2]
        assert re.fullmatch(rf"germline-{port}=[\w-]{{20,}}; HttpOnly; Path=/; SameSite=strict", cookie)
        session = {"cookie": cookie.partition(";")[0]}
        assert (await fetch(dashboard.address, "/api/experiments", headers=session)).told == {
            "experiments": []
        }
        forged = {"cookie": f"germline-{port}=guessed"}
        assert (await fetch(dashboard.address, "/api/experiments", headers=forged)).status == 401


async def test_a_wrong_link_and_a_wrong_token_are_refused(master: Master) -> None:
    async with shown(master.address, token=TOKEN) as dashboard:
        wrong = await fetch(dashboard.address, "/?token=guessed")
        assert wrong.status == 401
        assert b'data-door="wrong"' in wrong.body
        ours = JSON | {"origin": dashboard.address}
        for body in (b'{"token": "guessed"}', b"[]", b"no JSON", b'{"token": 7}'):
            refused = await fetch(dashboard.address, "/api/session", method="POST", headers=ours, body=body)
            assert refused.status == 401
        right = await fetch(
            dashboard.address, "/api/session", method="POST", headers=ours,
            body=f'{{"token": "{TOKEN}"}}'.encode(),
        )  # fmt: skip
        assert right.status == 200
        assert TOKEN not in right.headers["set-cookie"]


async def test_a_program_shows_the_token_itself(master: Master) -> None:
    async with shown(master.address, token=TOKEN) as dashboard:
        for token, status in ((TOKEN, 200), ("guessed", 401)):
            bearer = {"authorization": f"Bearer {token}"}
            assert (await fetch(dashboard.address, "/api/experiments", headers=bearer)).status == status


@pytest.mark.parametrize("verb", ["pause", "resume", "stop"])
async def test_control_is_not_there_unless_it_is_allowed(
    master: Master, dashboard: Dashboard, verb: str
) -> None:
    await _create(master)
    ours = JSON | {"origin": dashboard.address}
    path = f"/api/experiments/one/{verb}"
    refused = await fetch(dashboard.address, path, method="POST", headers=ours, body=b"{}")
    assert refused.status in (404, 405)
    assert (await fetch(dashboard.address, "/api/experiments/one")).told["state"] == "running"


async def test_where_control_is_allowed_only_our_own_pages_have_it(master: Master) -> None:
    await _create(master)
    async with shown(master.address, allow_control=True) as dashboard:
        strangers: tuple[dict[str, str], ...] = (
            JSON,
            JSON | {"origin": "http://evil.example"},
            JSON | {"origin": "null"},
            JSON | {"origin": dashboard.address + "0"},
            {"origin": dashboard.address, "content-type": "text/plain"},
        )
        path = "/api/experiments/one/pause"
        for headers in strangers:
            answer = await fetch(dashboard.address, path, method="POST", headers=headers, body=b"{}")
            assert answer.status == 403, headers
        for method in ("PUT", "DELETE", "PATCH"):
            ours = JSON | {"origin": dashboard.address}
            assert (await fetch(dashboard.address, path, method=method, headers=ours)).status == 403
        assert (await fetch(dashboard.address, "/api/experiments/one")).told["state"] == "running"
        paused = await fetch(dashboard.address, path, method="POST", headers=ours, body=b"{}")
        assert paused.told["state"] == "paused"
        unknown = await fetch(
            dashboard.address, "/api/experiments/one/delete", method="POST", headers=ours, body=b"{}"
        )
        assert unknown.status == 404


async def test_a_body_that_is_too_large_is_not_read(dashboard: Dashboard) -> None:
    ours = JSON | {"origin": dashboard.address, "content-length": str(1 << 30)}
    answer = await fetch(dashboard.address, "/api/session", method="POST", headers=ours, body=b"x")
    assert answer.status == 403
    assert "65,536" in answer.told["error"]


async def test_what_is_asked_for_is_bounded_and_refusals_name_the_field(
    master: Master, dashboard: Dashboard
) -> None:
    await _create(master)
    for path in ("curve?points=501", "curve?points=-1", "curve?axis=years", "individuals?limit=9999",
                 "curve?from=1e9", "individuals/xyz"):  # fmt: skip
        answer = await fetch(dashboard.address, f"/api/experiments/one/{path}")
        assert answer.status == 400, path
        assert "allowed" in answer.told["error"] or "id" in answer.told["error"]
    assert (await fetch(dashboard.address, "/api/experiments/two")).status == 404


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"host": "0.0.0.0"}, "a token .* and TLS"),  # noqa: S104 - what is refused
        ({"host": "example.org", "token": TOKEN}, "without TLS"),
        ({"token": "short"}, "16 or more"),
        ({"tls_cert": Path("cert.pem")}, "belong together"),
    ],
)
def test_what_would_be_open_to_a_network_does_not_start(given: dict[str, object], missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        DashboardSettings(**given)  # type: ignore[arg-type]


def test_a_network_may_be_served_in_the_open_by_who_says_so() -> None:
    assert DashboardSettings(host="0.0.0.0", insecure=True).scheme == "http"  # noqa: S104


async def _create(master: Master) -> None:
    def create() -> None:
        with Client(master.address) as client:
            client.create(spec_of())

    await asyncio.to_thread(create)
