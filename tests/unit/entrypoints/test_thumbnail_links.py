"""Signed links: what is signed, for how long they are valid, and how the answers may be kept."""

import hmac
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.access.key_ring import SECRET_FILE
from entrypoints.http.access.thumbnail_links import ThumbnailLinks
from entrypoints.settings import AuthSettings
from tests.builders import a_record
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

PERIOD = 1000
KEYS = "search:a-key-to-search,read:a-key-to-read,write:a-key-to-write"
READ, WRITE = {"authorization": "Bearer a-key-to-read"}, {"authorization": "Bearer a-key-to-write"}
SEARCH = {"authorization": "Bearer a-key-to-search"}


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def some_links(clock: Clock | None = None, *, secret: bytes = b"s" * 32, **auth: Any) -> ThumbnailLinks:
    settings = AuthSettings(**{"keys": KEYS, "signed_thumbnail_seconds": PERIOD} | auth)
    return ThumbnailLinks(settings, secret=lambda: secret, clock=clock or Clock())


# --- signing ---


@given(st.integers(0, 2**33), st.integers(2, 10**6))
def test_a_link_is_valid_for_half_a_period_to_a_whole_one(now: int, period: int) -> None:
    links = some_links(Clock(now), signed_thumbnail_seconds=period)
    signed = links.signed(a_record())
    assert period / 2 <= int(signed["expires"]) - now <= period
    assert links.seconds_left(a_record(), **signed) == int(signed["expires"]) - now


def test_links_stay_the_same_for_half_a_period() -> None:
    clock = Clock(2 * PERIOD)
    links = some_links(clock)
    signed = []
    for clock.now in (2 * PERIOD, 2.5 * PERIOD - 0.1, 2.5 * PERIOD, 3 * PERIOD - 0.1):
        signed.append(links.signed(a_record()))
    assert signed[0] == signed[1] != signed[2] == signed[3]


def test_a_link_ends_when_it_says() -> None:
    clock = Clock()
    links = some_links(clock)
    signed = links.signed(a_record())
    clock.now = int(signed["expires"]) - 1
    assert links.seconds_left(a_record(), **signed) == 1
    clock.now += 1
    assert links.seconds_left(a_record(), **signed) is None


def test_a_link_is_of_one_picture_and_one_time() -> None:
    links = some_links()
    record = a_record(1)
    signed = links.signed(record)
    expires, signature = signed["expires"], signed["signature"]
    assert links.seconds_left(record, expires, signature)
    for other in (a_record(2), replace(record, sha256=a_record(2).sha256), replace(record, id=a_record(2).id)):
        assert links.seconds_left(other, expires, signature) is None
    for time in (str(int(expires) + 1), f"0{expires}", f" {expires}", f"{expires}.0", "", "soon", "9" * 5000, "١٢٣"):
        assert links.seconds_left(record, time, signature) is None
    for forged in ("", "A" * 43, signature[:-1], f"{signature}=", signature.swapcase(), "ü", "\ufffd"):
        assert links.seconds_left(record, expires, forged) is None


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compare, compared = hmac.compare_digest, []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append((len(one), other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    some_links().seconds_left(a_record(), "1000500", "given")
    assert compared == [(43, b"given")]


def test_who_knows_another_secret_signs_nothing() -> None:
    signed = some_links(secret=b"t" * 32).signed(a_record())
    assert some_links().seconds_left(a_record(), **signed) is None


def test_a_secret_that_is_set_goes_before_the_services_own() -> None:
    one, same, own = (
        some_links(secret=b"1" * 32, thumbnail_secret="a" * 32),
        some_links(secret=b"2" * 32, thumbnail_secret="a" * 32),
        some_links(secret=b"1" * 32),
    )
    signed = one.signed(a_record())
    assert same.seconds_left(a_record(), **signed)
    assert own.seconds_left(a_record(), **signed) is None


def test_a_former_secret_keeps_its_links_and_signs_no_more() -> None:
    before = some_links(thumbnail_secret="a" * 32)
    rotated = some_links(thumbnail_secret="b" * 32, former_thumbnail_secret="a" * 32)
    after = some_links(thumbnail_secret="b" * 32)
    old, new = before.signed(a_record()), rotated.signed(a_record())
    assert old != new == after.signed(a_record())
    assert rotated.seconds_left(a_record(), **old)
    assert rotated.seconds_left(a_record(), **new)
    assert after.seconds_left(a_record(), **old) is None
    assert before.seconds_left(a_record(), **new) is None


@pytest.mark.parametrize("off", [{"keys": ()}, {"signed_thumbnail_seconds": 0}])
def test_without_keys_or_a_period_nothing_is_signed(off: dict[str, Any]) -> None:
    signed = some_links().signed(a_record())
    assert some_links(**off).signed(a_record()) == {}
    assert some_links(**off).seconds_left(a_record(), **signed) is None


# --- through the application ---


def a_closed_app(directory: Path, clock: Clock, **auth: Any) -> FastAPI:
    app = an_app(directory, auth={"keys": KEYS, "signed_thumbnail_seconds": PERIOD} | auth)
    app.state.thumbnail_links._clock = clock
    return app


async def add(client: httpx.AsyncClient, number: int = 1) -> Any:
    return (await client.post("/v1/images", files={"file": a_picture(number)}, headers=WRITE)).json()


def changed(link: str, **query: str | None) -> str:
    """The same link with these parameters changed, or without those that are None."""
    path, _, text = link.partition("?")
    kept = {name: value for name, value in (dict(parse_qsl(text)) | query).items() if value is not None}
    return f"{path}?{urlencode(kept)}" if kept else path


async def test_a_signed_link_loads_without_a_key_and_shared_caches_keep_it(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(a_closed_app(tmp_path, clock)) as client:
        image = await add(client)
        link = image["links"]["thumbnail"]
        query = dict(parse_qsl(urlsplit(link).query))
        assert query.keys() == {"v", "expires", "signature"}
        assert query["v"] == image["sha256"][:12]
        loaded = await client.get(link)
        current = await client.get(link, headers={"if-none-match": loaded.headers["etag"]})
        head = await client.head(link)
        with_key = await client.get(link, headers=READ)
    assert (loaded.status_code, current.status_code, head.status_code) == (200, 304, 200)
    assert loaded.content == with_key.content
    assert current.content == b""
    left = int(query["expires"]) - int(clock.now)
    for answer in (loaded, current, head, with_key):
        assert answer.headers["cache-control"] == f"public, max-age={left}, immutable"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"  # a page of any site may show it
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["etag"] == f'"thumbnail-384-{image["sha256"]}"'
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_wrong_link_is_refused_whatever_is_wrong_and_whether_or_not_it_is_there(tmp_path: Path) -> None:
    async with serving(a_closed_app(tmp_path, Clock())) as client:
        image, other = await add(client, 1), await add(client, 2)
        link = image["links"]["thumbnail"]
        gone = link.replace(image["id"], "0a4d55a8-d778-5022-abab-977f9a1b3f7c")
        answers = [
            await client.get(each, headers=headers)
            for headers in ({}, SEARCH, {"authorization": "Bearer no-key-of-ours"})
            for each in (
                gone,
                link.replace(image["id"], other["id"]),
                changed(link, v=other["sha256"][:12]),
                changed(link, v=None),
                changed(link, expires=None),
                changed(link, signature=None),
                changed(link, expires="99999999999"),
                changed(link, expires="soon"),
                changed(link, signature="x"),
                changed(other["links"]["thumbnail"], v=image["sha256"][:12]).replace(other["id"], image["id"]),
            )
        ]
        assert (await client.get(gone, headers=READ)).status_code == 404
    problems = [answer.json() | {"instance": None, "request_id": None} for answer in answers]
    assert {answer.status_code for answer in answers} == {403}
    assert problems[0]["code"] == "link_expired"
    assert all(problem == problems[0] for problem in problems)
    assert all("cache-control" not in answer.headers for answer in answers)


async def test_a_link_expires_and_comes_anew_with_its_image(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(a_closed_app(tmp_path, clock)) as client:
        image = await add(client)
        clock.now += PERIOD
        assert (await client.get(image["links"]["thumbnail"])).json()["code"] == "link_expired"
        again = (await client.get(image["links"]["self"], headers=READ)).json()
        assert (await client.get(again["links"]["thumbnail"])).status_code == 200


async def test_the_link_of_a_replaced_picture_is_no_longer_valid(tmp_path: Path) -> None:
    app = a_closed_app(tmp_path, Clock())
    async with serving(app) as client:
        image = (await client.post("/v1/images", files={"file": a_picture(1)}, data={"key": "a"}, headers=WRITE)).json()
        replaced = await client.post("/v1/images", files={"file": a_picture(9)}, data={"key": "a"}, headers=WRITE)
        assert replaced.json()["id"] == image["id"]
        assert (await client.get(image["links"]["thumbnail"])).json()["code"] == "link_expired"
        assert (await client.get(image["links"]["thumbnail"], headers=READ)).status_code == 200
        again = (await client.get(image["links"]["self"], headers=READ)).json()["links"]["thumbnail"]
        assert (await client.get(again)).status_code == 200
        assert f"v={replaced.json()['sha256'][:12]}" in again


async def test_a_key_that_reads_needs_no_signature(tmp_path: Path) -> None:
    async with serving(a_closed_app(tmp_path, Clock())) as client:
        link = (await add(client))["links"]["thumbnail"]
        bare, version = changed(link, v=None, expires=None, signature=None), changed(link, expires=None, signature=None)
        kept = [
            (await client.get(each, headers=READ)).headers["cache-control"]
            for each in (bare, version, changed(link, v="0" * 12), changed(link, signature="x"))
        ]
        assert kept == [
            "private, max-age=3600",
            "private, max-age=172800, immutable",
            "private, max-age=3600",
            "private, max-age=172800, immutable",
        ]
        for each in (bare, version):
            assert (await client.get(each)).status_code == 401
            assert (await client.get(each, headers=SEARCH)).json()["code"] == "forbidden"
        current = {"if-none-match": (await client.get(bare, headers=READ)).headers["etag"]}
        assert (await client.get(bare, headers=READ | current)).status_code == 304
        assert (await client.get(bare, headers=current)).status_code == 401


async def test_other_parameters_are_refused(tmp_path: Path) -> None:
    async with serving(a_closed_app(tmp_path, Clock())) as client:
        link = (await add(client))["links"]["thumbnail"]
        for wrong in (f"{link}&colour=red", f"{link}&v=1"):
            assert (await client.get(wrong)).json()["code"] == "validation_failed"


@pytest.mark.parametrize("auth", [{"keys": ()}, {"signed_thumbnail_seconds": 0}])
async def test_where_nothing_is_signed_links_carry_the_version_alone(tmp_path: Path, auth: dict[str, Any]) -> None:
    async with serving(a_closed_app(tmp_path, Clock(), **auth)) as client:
        image = await add(client)
        assert image["links"]["thumbnail"] == f"/v1/images/{image['id']}/thumbnail?v={image['sha256'][:12]}"
        loaded = await client.get(image["links"]["thumbnail"], headers=READ)
        assert loaded.headers["cache-control"] == "private, max-age=172800, immutable"
        signed = await client.get(f"{image['links']['thumbnail']}&expires=9999999999&signature=x")
        assert signed.status_code == (403 if auth.keys() & {"signed_thumbnail_seconds"} else 200)
    assert not (tmp_path / SECRET_FILE).exists()


async def test_links_outlive_a_restart_and_stand_below_the_proxys_path(tmp_path: Path) -> None:
    auth = {"keys": KEYS}
    async with serving(an_app(tmp_path, auth=auth, http={"root_path": "/pictures"})) as client:
        link = (await add(client))["links"]["thumbnail"]
        assert link.startswith("/pictures/v1/images/")
        assert (await client.get(link)).status_code == 200
    async with serving(an_app(tmp_path, auth=auth, http={"root_path": "/pictures"})) as client:
        assert (await add(client))["links"]["thumbnail"] == link
        assert (await client.get(link)).status_code == 200
        for given in ({"if-none-match": '"x"'}, {"origin": "https://shop.example"}):
            assert (await client.get(link, headers=given)).status_code == 200
