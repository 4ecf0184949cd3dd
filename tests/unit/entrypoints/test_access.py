"""Who gets in, how often, from where, and what browsers are told: the application in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog.testing
from fastapi import FastAPI

from entrypoints.http.access.key_ring import SECRET_FILE
from entrypoints.keys import Role, parse_keys, written
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

READ, WRITE, ADMIN = "a-key-to-read", "a-key-to-write", "a-key-for-all"
KEYS = f"read:{READ},write:{WRITE},{written(ADMIN, Role.ADMIN)}"
PAGE = {"X-Lookalike-Page": "1"}


def closed_app(directory: Path, **sections: Any) -> FastAPI:
    auth = {"keys": KEYS, "open_docs": False, "open_metrics": False} | sections.pop("auth", {})
    return an_app(directory, auth=auth, **sections)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# --- roles and what is closed ---


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/metrics"])
async def test_what_is_closed_is_for_admins(tmp_path: Path, path: str) -> None:
    async with serving(closed_app(tmp_path)) as client:
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=bearer("wrong-key"))).status_code == 401
        assert (await client.get(path, headers=bearer(WRITE))).json()["code"] == "forbidden"
        assert (await client.get(path, headers=bearer(ADMIN))).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/metrics"])
async def test_by_default_they_are_open(tmp_path: Path, path: str) -> None:
    async with serving(closed_app(tmp_path, auth={"open_docs": True, "open_metrics": True})) as client:
        assert (await client.get(path)).status_code == 200


async def test_the_pages_cookie_opens_what_its_key_opens(tmp_path: Path) -> None:
    async with serving(closed_app(tmp_path)) as client:
        assert (await client.get("/session")).json()["role"] is None
        signed_in = await client.post("/session", headers=bearer(ADMIN))
        assert signed_in.status_code == 204
        assert ADMIN not in signed_in.headers["set-cookie"]
        assert (await client.get("/session")).json()["role"] == "admin"
        assert (await client.get("/docs")).status_code == 200
        gone = "/v1/images/3fa85f64-5717-4562-b3fc-2c963f66afa6"
        assert (await client.delete(gone)).status_code == 401
        assert (await client.delete(gone, headers=PAGE)).status_code == 404


async def test_without_a_visitor_of_the_page_there_is_no_secret_to_keep(tmp_path: Path) -> None:
    async with serving(closed_app(tmp_path)) as client:
        await client.get("/")
        await client.get("/session")
        assert (await client.get("/v1/images", headers=bearer(READ))).status_code == 200
        assert not (tmp_path / SECRET_FILE).exists()
        await client.post("/session", headers=bearer(READ))
        assert (tmp_path / SECRET_FILE).exists()


async def test_a_hash_in_the_settings_opens_nothing(tmp_path: Path) -> None:
    [admin] = parse_keys([KEYS.rpartition(",")[2]])
    async with serving(closed_app(tmp_path)) as client:
        for shown in (admin.digest.hex(), f"sha256:{admin.digest.hex()}", f"admin:sha256:{admin.digest.hex()}"):
            assert (await client.get("/v1/images", headers=bearer(shown))).status_code == 401
            client.cookies.set("lookalike_session", shown)
            assert (await client.get("/v1/images")).status_code == 401
            client.cookies.clear()


# --- how often ---


async def test_one_too_many_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, limits={"per_address": "2/hour"})) as client:
        answers = [await client.get("/v1/images") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].headers["content-type"] == "application/problem+json"
        assert 3590 <= int(answers[2].headers["retry-after"]) <= 3600
        problem = answers[2].json()
        assert problem["code"] == "rate_limited"
        assert problem["request_id"] == answers[2].headers["x-request-id"]
        assert f"Send it again in {answers[2].headers['retry-after']} s." in problem["detail"]
        for path in ("/health/live", "/health/ready"):
            assert (await client.get(path)).status_code == 200


async def test_each_key_has_its_own_count_by_header_or_cookie(tmp_path: Path) -> None:
    async with serving(closed_app(tmp_path, limits={"per_key": "2/hour"})) as client:
        assert (await client.post("/session", headers=bearer(READ))).status_code == 204
        assert (await client.get("/v1/images")).status_code == 200
        assert (await client.get("/v1/images")).status_code == 429
        assert (await client.get("/v1/images", headers=bearer(READ))).status_code == 429
        assert (await client.get("/v1/images", headers=bearer(WRITE))).status_code == 200
        client.cookies.clear()
        assert (await client.get("/v1/images")).status_code == 401  # without a key there is none to count


async def test_who_guesses_keys_is_not_told_when_one_is_right(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(closed_app(tmp_path, limits={"wrong_keys": "3/hour"})) as client:
        await client.post("/session", headers=bearer(READ))
        guesses = [(await client.get("/v1/images", headers=bearer(f"guess-{n}"))).status_code for n in range(5)]
        assert guesses == [401, 401, 401, 429, 429]
        [told] = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert told == "Too many wrong keys came from 127.0.0.1: no key from there is taken for 3600 s"
        assert (await client.get("/v1/images", headers=bearer(ADMIN))).status_code == 429
        assert (await client.get("/v1/images")).status_code == 200  # by the cookie, which nobody guesses
        client.cookies.clear()
        assert (await client.get("/v1/images")).status_code == 401  # no guess


async def test_a_key_of_yesterday_shuts_nobody_out(tmp_path: Path) -> None:
    async with serving(closed_app(tmp_path, limits={"wrong_keys": "3/hour"})) as client:
        for _ in range(20):
            assert (await client.get("/v1/images", headers=bearer("of-yesterday"))).status_code == 401
        assert (await client.get("/v1/images", headers=bearer(READ))).status_code == 200


async def test_without_keys_there_are_no_wrong_ones(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, limits={"wrong_keys": "1/hour"})) as client:
        for number in range(5):
            assert (await client.get("/v1/images", headers=bearer(f"any-key-{number}"))).status_code == 200


# --- from where ---


def preflight(origin: str, method: str = "POST", headers: str = "authorization") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


def shares(response: httpx.Response) -> bool:
    return any(name.startswith("access-control-") for name in response.headers)


async def test_by_default_no_other_origin_is_let_in(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path)) as client:
        asked = await client.options("/v1/search", headers=preflight("https://a.example"))
        assert (asked.status_code, asked.json()["code"]) == (405, "method_not_allowed")
        read = await client.get("/v1/images", headers={"origin": "https://a.example"})
        assert not shares(asked)
        assert not shares(read)
        assert read.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_named_origin_is_let_in_without_credentials(tmp_path: Path) -> None:
    async with serving(closed_app(tmp_path, http={"cors_origins": "https://a.example"})) as client:
        asked = await client.options("/v1/search", headers=preflight("https://a.example"))
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://a.example"
        assert "authorization" in asked.headers["access-control-allow-headers"].lower()
        for response in (
            await client.get("/v1/images", headers={"origin": "https://a.example", **bearer(READ)}),
            await client.get("/v1/images", headers={"origin": "https://a.example"}),  # its 401 can be read too
        ):
            assert response.headers["access-control-allow-origin"] == "https://a.example"
            assert "X-Request-ID" in response.headers["access-control-expose-headers"]
            assert response.headers["cross-origin-resource-policy"] == "cross-origin"
        for answer in (asked, response):
            assert "access-control-allow-credentials" not in answer.headers
            assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "asked",
    [
        preflight("https://b.example"),
        preflight("null"),
        preflight("https://a.example", method="PUT"),
        preflight("https://a.example", headers="x-lookalike-page"),  # what makes our page's cookie count
    ],
)
async def test_other_questions_are_refused_as_problems(tmp_path: Path, asked: Mapping[str, str]) -> None:
    async with serving(an_app(tmp_path, http={"cors_origins": "https://a.example"})) as client:
        refused = await client.options("/v1/search", headers=dict(asked))
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin_refused")
        assert refused.headers["content-type"] == "application/problem+json"
        assert "access-control-allow-origin" not in refused.headers


async def test_all_origins_are_let_in_where_that_is_set_but_never_with_credentials(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, http={"cors_origins": "*"})) as client:
        for response in (
            await client.options("/v1/search", headers=preflight("https://b.example")),
            await client.get("/v1/images", headers={"origin": "https://b.example"}),
        ):
            assert response.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_form_on_another_site_adds_nothing(tmp_path: Path, site: str) -> None:
    """Which a browser sends without asking first."""
    picture = {"file": ("a.png", a_picture(1))}
    async with serving(an_app(tmp_path, http={"cors_origins": "https://a.example"})) as client:
        sent = {"sec-fetch-site": site, "origin": "https://b.example"}
        refused = await client.post("/v1/images", files=picture, headers=sent)
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin_refused")
        assert (await client.get("/v1/images", headers=sent)).json()["total"] == 0
        for welcome in ({"sec-fetch-site": "same-origin"}, {}, sent | {"origin": "https://a.example"}):
            assert (await client.post("/v1/images", files=picture, headers=welcome)).status_code in {200, 201}


@pytest.mark.parametrize("origin", ["http://b.example", "null", "http://t:8000", ""])
async def test_nor_where_browsers_say_only_the_origin(tmp_path: Path, origin: str) -> None:
    """Over plain HTTP they send no Sec-Fetch-Site."""
    picture = {"file": ("a.png", a_picture(1))}
    async with serving(an_app(tmp_path, http={"cors_origins": "https://a.example"})) as client:
        refused = await client.post("/v1/images", files=picture, headers={"origin": origin})
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin_refused")
        for welcome in ("http://t", "https://t", "https://a.example"):
            answer = await client.post("/v1/images", files=picture, headers={"origin": welcome})
            assert answer.status_code in {200, 201}


# --- what browsers are told ---


async def test_every_answer_carries_what_browsers_must_know(tmp_path: Path) -> None:
    app = closed_app(tmp_path, limits={"wrong_keys": "1/hour"})

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError

    async with serving(app) as client:
        answers = {
            await client.get(path, headers=headers)
            for path in ("/", "/docs", "/redoc", "/v1/images", "/nowhere", "/crash", "/health/live", "/session")
            for headers in ({}, bearer(ADMIN))
        }
        answers.add(await client.get("/v1/images?limit=0", headers=bearer(ADMIN)))
        answers.add(await client.put("/v1/images", headers=bearer(ADMIN)))
        answers.add(await client.get("/health/live", headers={"x-request-deadline-ms": "soon"}))
        answers |= {await client.get("/v1/images", headers=bearer(f"guess-{n}")) for n in range(2)}
    assert {answer.status_code for answer in answers} == {200, 401, 404, 405, 422, 429, 500}
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        [policy] = answer.headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "strict-transport-security" not in answer.headers


async def test_transport_security_is_told_over_tls_alone(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, http={"hsts_seconds": 600})) as client:
        assert "strict-transport-security" not in (await client.get("/health/live")).headers
        over_tls = await client.get("https://t/nowhere")
        assert over_tls.headers["strict-transport-security"] == "max-age=600"


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_pages_of_the_documentation_run_their_own_scripts_alone(tmp_path: Path, page: str) -> None:
    async with serving(an_app(tmp_path)) as client:
        policy = (await client.get(page)).headers["content-security-policy"]
        scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts
    assert ("sha256-" in scripts) == (page == "/docs")  # which has one inline


# --- under a path ---


async def test_the_path_itself_leads_to_the_page(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, http={"root_path": "/pictures"})) as client:
        with structlog.testing.capture_logs() as lines:
            page = await client.get("/pictures?image=a%2Fb", headers={"x-request-id": "abc"}, follow_redirects=True)
    assert (page.status_code, page.url.raw_path) == (200, b"/pictures/?image=a%2Fb")
    assert [answer.headers["x-request-id"] for answer in (*page.history, page)] == ["abc", "abc"]
    logged = [(line["path"], line["status"]) for line in lines if line["event"] == "request"]
    assert logged == [("/pictures", 307), ("/pictures/", 200)]


@pytest.mark.parametrize("prefix", ["", "/pictures"])
async def test_below_a_path_whether_or_not_the_proxy_leaves_it_there(tmp_path: Path, prefix: str) -> None:
    app = an_app(tmp_path, http={"root_path": "/pictures"}, limits={"per_address": "6/hour"})
    async with serving(app) as client:
        document = (await client.get(f"{prefix}/openapi.json")).json()
        assert [server["url"] for server in document["servers"]] == ["/pictures"]
        assert "/v1/images" in document["paths"]
        docs = (await client.get(f"{prefix}/docs")).text
        assert "'/pictures/openapi.json'" in docs
        assert 'src="/pictures/static-offline-docs/swagger-ui-bundle.js"' in docs
        script = await client.get(f"{prefix}/static-offline-docs/swagger-ui-bundle.js")
        assert script.status_code == 200
        added = await client.post(f"{prefix}/v1/images", files={"file": ("a.png", a_picture(1))})
        assert added.headers["location"].startswith("/pictures/v1/images/")
        for _ in range(5):
            assert (await client.get(f"{prefix}/health/live")).status_code == 200
        assert (await client.get(f"{prefix}/v1/images")).status_code == 200
        assert (await client.get(f"{prefix}/v1/images")).status_code == 200
        assert (await client.get(f"{prefix}/v1/images")).status_code == 429
