"""Requests as no honest client sends them, byte by byte, each with the statuses that answer it rightly."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx

from tests.contracts.api.conformance import PROBLEM, Conformance
from tests.pictures import a_picture
from tests.raw_http import Answer

PICTURE = a_picture(7)
UPLOADS = ("/v1/images", "/v1/search", "/v1/embeddings", "/v1/detections")
TEXT_FIELDS = {
    "/v1/images": (b"metadata",),
    "/v1/images/batch": (b"metadata",),
    "/v1/search": (b"limit", b"offset", b"score_threshold", b"filter", b"region", b"target", b"exact"),
    "/v1/embeddings": (b"region",),
    "/v1/detections": (b"score_threshold", b"labels", b"max_detections"),
}
ABSENT = "/v1/images/0a4d55a8-d778-5022-abab-977f9a1b3f7c"
DEEP = b"[" * 100_000

Part = tuple[bytes, bytes]
"""The headers of a part of a form, and its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One request. `statuses` are of its answer: several where the parser may refuse it before we see it."""

    name: str
    method: str
    target: bytes
    headers: tuple[bytes, ...] = ()
    body: bytes = b""
    statuses: tuple[int, ...]

    @property
    def raw(self) -> bytes:
        """As it is sent. Its length is told unless its headers tell something about it."""
        headers = list(self.headers)
        names = {header.partition(b":")[0].lower() for header in headers}
        if b"host" not in names:
            headers.insert(0, b"Host: t")
        if self.body and not names & {b"content-length", b"transfer-encoding"}:
            headers.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([self.method.encode() + b" " + self.target + b" HTTP/1.1", *headers, b"", self.body])


def hostile_requests() -> Iterator[Hostile]:
    """All of them."""
    yield from _forms()
    yield from _fields()
    yield from _filenames()
    yield from _json()
    yield from _queries()
    yield from _paths()
    yield from _headers()
    yield from _methods()
    yield from _unread()


def part(disposition: bytes, content: bytes, *more: bytes) -> Part:
    """A part whose Content-Disposition is `form-data; ` and this."""
    return b"\r\n".join([b"Content-Disposition: form-data; " + disposition, *more]), content


FILE = part(b'name="file"; filename="a.png"', PICTURE)


def form(parts: Iterable[Part], boundary: bytes = b"B") -> bytes:
    """The body of a multipart form."""
    return b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, *each) for each in parts) + b"--%s--\r\n" % boundary


def complaint_about(answer: Answer, request: Hostile, conformance: Conformance) -> str | None:
    """What is wrong with an answer, if anything."""
    if answer.status not in request.statuses:
        return f"{answer.status} instead of {request.statuses}: {answer.body[:300]!r}"
    by_the_application = "x-request-id" in answer.headers
    if answer.status >= 400 and by_the_application and request.method != "HEAD":
        if answer.headers.get("content-type") != PROBLEM:
            return f"{answer.status} is no problem: {answer.headers}"
        if json.loads(answer.body)["status"] != answer.status or len(answer.body) > 100_000:
            return f"a problem of {len(answer.body)} bytes: {answer.body[:300]!r}"
    path = request.target.partition(b"?")[0].decode("latin-1")
    if by_the_application and path.isascii() and path.isprintable() and path.startswith("/v1/"):
        made = httpx.Request(request.method, f"http://t{path}")
        try:
            conformance.check(httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=made))
        except AssertionError as error:
            return str(error)
    return None


def _posted(
    name: str,
    path: str,
    body: bytes,
    *statuses: int,
    content_type: bytes = b"multipart/form-data; boundary=B",
    headers: tuple[bytes, ...] = (),
) -> Hostile:
    content = (b"Content-Type: " + content_type,) if content_type else ()
    return Hostile(
        name=name, method="POST", target=path.encode(), headers=(*content, *headers), body=body, statuses=statuses
    )


def _forms() -> Iterator[Hostile]:
    """Multipart that is nested, contradictory, endless or of something else."""
    inner = form([FILE], b"INNER")
    nested = part(b'name="file"', inner, b"Content-Type: multipart/mixed; boundary=INNER")
    posted = [
        ("nested multipart", form([nested]), (422,)),
        ("nested multipart as the file", form([(b'Content-Disposition: form-data; name="file"; filename=a', inner)]),
            (415,)),
        ("no end", form([FILE])[:-6], (400,)),
        ("no part", b"--B--\r\n", (422,)),
        ("nothing", b"", (400, 422)),
        ("line feeds alone", form([FILE]).replace(b"\r\n", b"\n"), (400,)),
        ("a preamble and an epilogue", b"hello\r\n" + form([FILE]) + b"goodbye", (200, 201, 400)),
        ("the file twice", form([FILE, FILE]), (422,)),
        ("the file as text", form([part(b'name="file"', b"abc")]), (422,)),
        ("a file without a name", form([part(b'filename="a.png"', PICTURE)]), (400,)),
        ("a part without a name", form([FILE, part(b"x=y", b"abc")]), (400,)),
        ("a part without headers", b"--B\r\n\r\nabc" + b"\r\n" + form([FILE]), (400,)),
        ("a part of another disposition",
            form([(b'Content-Disposition: attachment; name="file"; filename=a', PICTURE)]), (200, 201, 400)),
        ("two dispositions", form([part(b'name="file"; filename=a', PICTURE,
            b'Content-Disposition: form-data; name="x"')]), (400, 422)),
        ("a huge header of a part", form([part(b'name="file"; filename=a', PICTURE, b"X: " + b"x" * 100_000)]), (400,)),
        ("a thousand headers of a part", form([part(b'name="file"; filename=a', PICTURE, *[b"X: y"] * 1000)]), (400,)),
        ("thousands of fields", form([FILE, *[part(b'name="x"', b"")] * 5000]), (413,)),
        ("thousands of files", form([part(b'name="x"; filename=a', b"")] * 5000), (413,)),
        ("a hundred unknown fields", form([FILE, *(part(b'name="x%d"' % number, b"") for number in range(100))]),
            (422,)),
        ("a field of two megabytes", form([FILE, part(b'name="filter"', b"x" * 2_000_000)]), (413,)),
        ("a field whose name is long", form([FILE, part(b'name="%s"' % (b"x" * 4000), b"")]), (422,)),
        ("a field whose name is no text", form([FILE, part(b'name="\xff\xfe\0\x1b"', b"")]), (422,)),
        ("an encoded file", form([part(b'name="file"; filename=a', base64.b64encode(PICTURE),
            b"Content-Transfer-Encoding: base64")]), (415,)),
        ("an empty file", form([part(b'name="file"; filename="a.png"', b"")]), (415,)),
    ]  # fmt: skip
    for path in UPLOADS:
        for name, body, statuses in posted:
            yield _posted(f"{name}: {path}", path, body, *statuses)
    files = part(b'name="files"; filename=a', b"")
    for number in (257, 1024, 1025, 5000):  # however far beyond the limit
        yield _posted(f"a batch of {number} files", "/v1/images/batch", form([files] * number), 413)
    body = form([FILE])
    types = [
        (b"multipart/form-data", (400,)),
        (b"multipart/form-data; boundary=", (400,)),
        (b"multipart/form-data; boundary=B; boundary=C", (200, 400)),
        (b"multipart/form-data; boundary=C; boundary=B", (200, 400)),
        (b"multipart/form-data; boundary=" + b"B" * 10_000, (400,)),
        (b'multipart/form-data; boundary="B\\"', (200, 400)),
        (b"multipart/form-data; boundary=\xff\xfe", (400,)),
        (b"multipart/form-data; boundary*=utf-8''B", (200, 400)),
        (b"multipart/form-data; boundary=B; charset=unicode_escape", (415,)),
        (b"multipart/mixed; boundary=B", (200, 400, 422)),
        (b"MULTIPART/FORM-DATA; BOUNDARY=B", (200,)),
        (b"application/x-www-form-urlencoded", (422,)),
        (b"application/json", (415,)),
        (b"text/plain", (415,)),
        (b"image/png", (415,)),
        (b";;;=", (422,)),
        (b"", (422,)),
    ]
    for content_type, statuses in types:
        yield _posted(f"a form as {content_type[:60]!r}", "/v1/embeddings", body, *statuses, content_type=content_type)
    lengths = [
        ("a length and chunks", (b"Content-Length: 5", b"Transfer-Encoding: chunked"), (400,)),
        ("two lengths", (b"Content-Length: 5", b"Content-Length: 6"), (400,)),
        ("a length too small", (b"Content-Length: 20",), (400,)),
        ("a length of zero", (b"Content-Length: 0",), (400, 422)),
        ("a length that is no number", (b"Content-Length: 0x10",), (400,)),
        ("a negative length", (b"Content-Length: -1",), (400,)),
        ("a length beyond all numbers", (b"Content-Length: " + b"9" * 5000,), (400,)),
        ("a length of terabytes", (b"Content-Length: 5000000000000",), (413,)),
        ("chunks that are none", (b"Transfer-Encoding: chunked",), (400,)),
        ("an unknown transfer coding", (b"Transfer-Encoding: gzip",), (400, 413, 501)),
        ("a compressed body", (b"Content-Encoding: gzip",), (415,)),
    ]
    for name, headers, statuses in lengths:
        yield _posted(name, "/v1/embeddings", body, *statuses, headers=headers)


def _fields() -> Iterator[Hostile]:
    """Values of the fields of forms."""
    metadata = [
        DEEP, b'{"a":' + b"[" * 5000, b'{"a":1e400}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":18446744073709551616}', b'{"a":-9223372036854775809}', b'{"a":"\\ud800"}', b'{"\\ud800":1}',
        b'{"\\u0000":1}',
        b'{"":1}', b'{"a":null}', b'{"a":{"b":{}},"b":1}', b'{"a":[1]}', b"null", b"1", b'"x"', b"{", b"\xff",
        b'{"a":"' + b"x" * 20_000 + b'"}',
        b'{"%s":1}' % (b"x" * 300_000), b"{" + b",".join(b'"k%d":1' % number for number in range(100)) + b"}",
        b"\xef\xbb\xbf{}",
    ]  # fmt: skip
    for value in metadata:
        for path, file in (("/v1/images", FILE), ("/v1/images/batch", part(b'name="files"; filename=a', PICTURE))):
            yield _posted(f"metadata {value[:40]!r}: {path}", path, form([file, part(b'name="metadata"', value)]), 422)
    for value in (
        b'{"a":-0.0}',
        b'{"a":5e-324}',
        b'{"a":9007199254740991}',
        b'{"a":"\\u0000\\u202e\\u001b[31m"}',
        b'{"a":1,"a":2}',
        b'{"a.b[0].\'c":"x"}',
        b'{"a":[]}',
    ):
        body = form([FILE, part(b'name="metadata"', value)])
        yield _posted(f"metadata {value!r}", "/v1/images", body, 200, 201)
    fields = [
        *(("limit", value, (422,)) for value in ("0", "-1", "501", "1.5", "1e2", "9" * 5000, "NaN", "0x10", "a",
            "None")),
        *(("limit", value, (200, 422)) for value in ("\uff11\uff10", "\u0663", " 10 ", "+5", "1_0", "5.0", "-0", "0010",
            "")),
        *(("score_threshold", value, (422,)) for value in ("2", "nan", "inf", "1e400", "-1.1", "a")),
        *(("score_threshold", value, (200, 422)) for value in ("-0", "1e-400", "\uff10.5", "")),
        *(("region", value, (422,)) for value in (
            "nan,nan,nan,nan", "inf,0,1,1", "-1e400,0,1e400,1", "1,1,1,1", "5,5,1,1", "0,0,1", "0,0,1,1,1", ",,,",
            "a,b,c,d",
            "1e30,1e30,2e30,2e30", "0," * 200_000, "9" * 300_000 + ",0,1,1", "\0", "0,0,1,1;",
        )),
        *(("region", value, (200, 422)) for value in ("-1e300,-1e300,1e300,1e300", "0,0,1e-300,1e-300", "1_0,0,20,20",
            " 0, 0, 9, 9 ", "\uff10,0,9,9", "")),
        *(("target", value, (422,)) for value in ("IMAGES", "objects\0", "image")),
        *(("exact", value, (422,)) for value in ("2", "maybe", "\0")),
        *(("filter", value, (422,)) for value in (
            "[", "[]", "null", "1", "{", '{"a":1}', '{"all":{}}', '{"all":[{}]}', '{"all":[{"field":"x","eq":1}]}',
            '{"all":[{"field":"width","eq":NaN}]}', '{"all":[{"field":"width","eq":1e400}]}',
            '{"all":[{"field":"width","gt":"1"}]}',
            '{"all":[{"field":"metadata.\\ud800","eq":1}]}', '{"all":[{"field":"metadata.a","eq":"\\ud800"}]}',
            '{"all":[{"field":"metadata.","eq":1}]}', '{"all":[{"field":"__class__","eq":1}]}',
            '{"all":[{"field":"width","eq":18446744073709551616}]}',
            '{"all":[{"field":"created_at","gte":1}]}', '{"all":[{"field":"created_at","gte":"yesterday"}]}',
            '{"all":[{"field":"created_at","gte":"9999-12-31T23:59:60Z"}]}',
            '{"all":[{"field":"created_at","gte":"2026-02-30T00:00:00Z"}]}',
            '{"all":[{"field":"%s","eq":1}]}' % ("x" * 100_000), '{"all":' * 5000, '{"all":[' + '{"all":[' * 5000,
            DEEP.decode(),
            json.dumps({"all": [{"field": "width", "eq": 1}] * 5000}),
            json.dumps({"any": [{"field": "labels", "in": ["x"] * 5000}]}),
            json.dumps({"any": [{"field": "metadata.k", "in": list(range(1000))}] * 5}),
        )),
        *(("filter", value, (200,)) for value in (
            "", "{}", '{"all":[],"any":[],"none":[]}', '{"all":[{"field":"metadata.\\u0000","eq":1}]}',
            '{"all":[{"field":"metadata.a\\"].b[0]","exists":false}]}', '{"all":[{"field":"metadata.a","eq":-0.0}]}',
            '{"all":[{"field":"created_at","lt":"0001-01-01T00:00:00+23:59"}]}',
            '{"all":[{"field":"created_at","gte":"9999-12-31T23:59:59.999999-23:59"}]}',
            '{"all":[{"field":"metadata.a","gt":5e-324,"lt":-5e-324}]}', '{"any":[{"field":"width","in":[]}]}',
            json.dumps({"any": [{"field": "metadata.k", "in": list(range(1000))}] * 4}),
        )),
    ]  # fmt: skip
    for name, value, statuses in fields:
        field = part(b'name="%s"' % name.encode(), value.encode())
        yield _posted(f"{name} {value[:60]!r}", "/v1/search", form([FILE, field]), *statuses)
    for name, value in (("max_detections", "301"), ("max_detections", "0"), ("score_threshold", "-0.1")):
        field = part(b'name="%s"' % name.encode(), value.encode())
        yield _posted(f"{name} {value!r}", "/v1/detections", form([FILE, field]), 422)
    for path, names in TEXT_FIELDS.items():
        file = part(b'name="files"; filename=a', PICTURE) if path.endswith("/batch") else FILE
        for name in names:
            field = part(b'name="%s"; filename="a.json"' % name, b"{}")
            yield _posted(f"a file for {name!r}: {path}", path, form([file, field]), 422)
    labels = [part(b'name="labels"', b"x" * 1000)] * 101
    yield _posted("a hundred and one labels", "/v1/detections", form([FILE, *labels]), 422)
    regions = [part(b'name="region"', b"0,0,9,9")] * 9
    target = part(b'name="target"', b"objects")
    yield _posted("nine regions", "/v1/search", form([FILE, target, *regions]), 422)


def _filenames() -> Iterator[Hostile]:
    for name in (
        b'"../../etc/passwd"', b'"C:\\\\Windows\\\\a.png"', b'"%2e%2e/%2e%2e/a.png"', b'""', b'"."', b'".."', b'"/"',
        b'"a\0b.png"',
        b'"' + b"n" * 3000 + b'.png"', "\"\u202egnp.exe\"".encode(), '"\u2028\u2029.png"'.encode(), b'"\xff\xfe.png"',
        b'"a.png\x1b[31m"',
        b'"<script>alert(1)</script>.png"', b'"CON"', b'"a.png"; filename*=utf-8\'\'%e2%82%ac.png',
        b"*=utf-8''..%2f..%2fetc%2fpasswd",
        b"*=utf-16''%ff%fe", b"*0=a; filename*1=b", b"*=x'y", b"\"unended", b"=?utf-8?q?=00?=", b"$(reboot)",
        b'"a";"b"', b"'" * 100,
    ):  # fmt: skip
        # Where it is not understood as a filename at all, the part is text.
        disposition = b'name="file"; filename' + (name if name.startswith(b"*") else b"=" + name)
        statuses = (200, 201, 400, 422)
        yield _posted(f"filename {name[:50]!r}", "/v1/images", form([part(disposition, PICTURE)]), *statuses)
        batch = disposition.replace(b'"file"', b'"files"')
        yield _posted(
            f"filename {name[:50]!r} in a batch", "/v1/images/batch", form([part(batch, PICTURE)]), 207, 400, 422
        )


def _json() -> Iterator[Hostile]:
    """Bodies of JSON."""
    everywhere = [
        (DEEP, (400,)),
        (b'{"a":' * 20_000, (400,)),
        (b"[" * 900 + b"]" * 900, (400, 422)),
        (b'{"filter":' + b"[" * 900 + b"]" * 900 + b"}", (400, 422)),
        (b"9" * 5000, (400,)),
        (b"1e999999999", (422,)),
        (b"NaN", (422,)),
        (b"\xff\xfe{\0}\0", (400, 422)),
        ("{}".encode("utf-16"), (400, 422)),
        (b"\xef\xbb\xbf{}", (400, 422)),
        (b"\x1f\x8b\x08", (400,)),
        (b"{}{}", (400,)),
        (b"{'a':1}", (400,)),
        (b"", (422,)),
        (b"\0", (400,)),
        (b'{"\\ud800":1}', (422,)),
        (b'{"%s":1}' % (b"x" * 500_000), (422,)),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(20_000)) + b"}", (422,)),
        (b"x" * 2_000_000, (413,)),
        (b'{"__proto__":{},"constructor":1}', (422,)),
    ]
    for path, method in (("/v1/search/examples", "POST"), ("/v1/images/delete", "POST"), (ABSENT, "PATCH")):
        for body, statuses in everywhere:
            yield Hostile(
                name=f"JSON {body[:40]!r}: {method} {path}",
                method=method,
                target=path.encode(),
                headers=(b"Content-Type: application/json",),
                body=body,
                statuses=statuses,
            )
        for content_type in (
            b"text/plain",
            b"application/xml",
            b"application/jsonx",
            b"",
            b"\xff",
            b"application/json, text/html",
        ):
            yield Hostile(
                name=f"JSON as {content_type!r}: {method} {path}",
                method=method,
                target=path.encode(),
                headers=(b"Content-Type: " + content_type,) if content_type else (),
                body=b'{"metadata":{},"filter":{},"positive":[]}',
                statuses=(400, 422),
            )
    bodies: list[tuple[str, object, tuple[int, ...]]] = [
        ("/v1/search/examples", {"positive": ["0a4d55a8-d778-5022-abab-977f9a1b3f7c"]}, (404,)),
        ("/v1/search/examples", {"positive": ["0a4d55a8"]}, (422,)),
        ("/v1/search/examples", {"positive": [1, None, {}, []]}, (422,)),
        ("/v1/search/examples", {"positive": ["0a4d55a8-d778-5022-abab-977f9a1b3f7c"] * 101}, (422,)),
        ("/v1/search/examples", {"positive": ["x\ud800" * 1000] * 90}, (422,)),
        ("/v1/search/examples", {"positive": [], "negative": []}, (422,)),
        ("/v1/search/examples", {"positive": [], "limit": 1.5}, (422,)),
        ("/v1/search/examples", {"positive": [], "limit": 10**30}, (422,)),
        ("/v1/search/examples", {"positive": [], "score_threshold": float("nan")}, (422,)),
        ("/v1/images/delete", {"filter": {}}, (422,)),
        ("/v1/images/delete", {"filter": None}, (422,)),
        ("/v1/images/delete", {"filter": {"all": [{"field": "metadata.\ud800", "eq": 1}]}}, (422,)),
        ("/v1/images/delete", {"filter": {"none": [{"field": "width", "eq": 1}] * 65}}, (422,)),
        ("/v1/images/delete", {"filter": {"all": [{"field": "metadata.nobody.has.this", "eq": "\0"}]}}, (200,)),
    ]
    for path, body, statuses in bodies:
        yield _posted(
            f"{path} {str(body)[:50]!r}", path, json.dumps(body).encode(), *statuses, content_type=b"application/json"
        )


def _queries() -> Iterator[Hostile]:
    def asked(target: bytes, *statuses: int) -> Hostile:
        return Hostile(name=f"GET {target[:70]!r}", method="GET", target=target, statuses=statuses)

    for query in (
        b"limit=0", b"limit=201", b"limit=1.5", b"limit=9" * 1, b"limit=" + b"9" * 5000, b"limit=1&limit=2",
        b"limit=NaN", b"limit=%00",
        b"nope=1", b"limit=1;cursor=2", b"limit[]=1", b"filter={", b"filter=%ff", b"filter=" + b"[" * 20_000,
        b"cursor=", b"cursor=AAAA",
        b"cursor=" + b"A" * 32, b"cursor=" + b"A" * 20_000, b"cursor=%00", b"cursor=////////////////////////////////",
        b"cursor=" + base64.urlsafe_b64encode(b"\x7f" + b"\xff" * 23),
        b"cursor=" + base64.urlsafe_b64encode(b"\x80" + b"\0" * 23),
        b"%ff=1", b"\xff=1", b"limit=%zz", b"&&&&", b"=", b"limit=1%26limit=2", b"x" * 30_000, b"&a=1" * 5000,
        b"limit=%EF%BC%91",
    ):  # fmt: skip
        yield asked(b"/v1/images?" + query, 200, 422, 400)
    for query in (b"a=1", b"\xff\xfe", b"%ff", b"filter="):
        yield asked(b"/v1/models?" + query, 422, 400)
        yield asked(b"/health/live?" + query, 422, 400)
        yield asked(b"/nowhere?" + query, 404, 400)
        yield asked(ABSENT.encode() + b"?" + query, 404, 422, 400)
        yield asked(ABSENT.encode() + b"/similar?" + query, 404, 422, 400)


def _paths() -> Iterator[Hostile]:
    for target in (
        b"/v1/images/", b"/v1//images", b"//v1/images", b"/v1/images/x", b"/V1/images", b"/v1/images%00",
        b"/v1/images/%2e%2e/models", b"/..",
        b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/v1/images/0a4d55a8-d778-5022-abab-977f9a1b3f7",
        b"/v1/images/0a4d55a8d7785022abab977f9a1b3f7c",
        b"/v1/images/%7b0a4d55a8-d778-5022-abab-977f9a1b3f7c%7d",
        b"/v1/images/urn:uuid:0a4d55a8-d778-5022-abab-977f9a1b3f7c",
        b"/v1/images/0a4d55a8-d778-5022-abab-977f9a1b3f7g", ABSENT.encode() + b"/",
        ABSENT.encode() + b"/content/../../..", ABSENT.encode() + b"%00",
        ABSENT.encode() + b"/content%2f", ABSENT.upper().encode().replace(b"/V1/IMAGES", b"/v1/images"),
        b"/" + b"a" * 30_000, b"/" + b"a/" * 10_000,
        b"/static-offline-docs/", b"/static-offline-docs/%00", b"/static-offline-docs/../../../etc/passwd",
        b"/static-offline-docs/%2e%2e/%2e%2e/pyproject.toml",
        b"/static-offline-docs/" + b"a" * 5000, b"/static-offline-docs/..%5c..%5cx",
        b"/static-offline-docs//etc/passwd", b"/assets/x/%00", b"/assets/%2e%2e/",
        b"/%ff%fe", b"/%00", b"/%0d%0aSet-Cookie:%20a=b", b"/%1b[31m", b"/%u0041", b"/%", b"/%zz", b"/session/x",
        b"/metrics/../x", b"/.env", b"/.git/config",
    ):  # fmt: skip
        yield Hostile(name=f"GET {target[:70]!r}", method="GET", target=target, statuses=(404, 400))
    for target in (b"http://evil.example/health/live", b"/health/live#fragment", b"*", b"health/live", b"/\xff", b""):
        yield Hostile(name=f"GET {target!r}", method="GET", target=target, statuses=(200, 404, 400))


def _headers() -> Iterator[Hostile]:
    def asked(target: str, *headers: bytes, statuses: tuple[int, ...]) -> Hostile:
        name = f"GET {target} with {headers[0][:50]!r}"
        return Hostile(name=name, method="GET", target=target.encode(), headers=headers, statuses=statuses)

    for host in (b"[::1", b"[", b"a b", b"", b"\xff\xfe", b"a/b?c#d", b"a:99999999", b"a@b", b"..", b"a" * 10_000):
        yield asked("/health/live", b"Host: " + host, statuses=(200, 400))
        yield asked("/nowhere", b"Host: " + host, statuses=(404, 400))
        yield asked("/v1/images?limit=0", b"Host: " + host, statuses=(422, 400))
    for deadline in (b"-1", b"1.5", b"9" * 5000, b"a", b"", "\u0661".encode(), b"\xff"):
        yield asked("/v1/images", b"X-Request-Deadline-Ms: " + deadline, statuses=(422,))
    for header in (
        b"X-Request-ID: " + b"x" * 10_000, b"X-Request-ID: \xff", b'X-Request-ID: a"b', b"Range: bytes=0-0,5-,-1",
        b"Range: bytes=" + b"0-0," * 5000,
        b"If-None-Match: " + b'"' * 10_000, b"If-None-Match: W/,,*x\xff", b"If-Modified-Since: yesterday",
        b"Accept: " + b"*/*," * 5000, b"Accept-Encoding: \xff",
        b"Cookie: " + b"a=b;" * 5000, b"Cookie: lookalike_session=\xff\xfe; lookalike_session",
        b"Authorization: Bearer \xff\xfe", b"Authorization: " + b"x" * 10_000,
        b"X-Forwarded-For: \xff, 999.999.999.999", b"X-Forwarded-Proto: javascript", b"Forwarded: for=\"_\x7f\"",
        b"Expect: 100-continue", b"Expect: miracles",
        b"Connection: close, keep-alive, x", b"Upgrade: h2c", b"Connection: Upgrade\r\nUpgrade: websocket",
        b"TE: trailers", b"Origin: null", b"X: y\r\n" * 3000 + b"Z: z",
    ):  # fmt: skip
        yield asked("/v1/images", header, statuses=(200, 400))
        yield asked("/", header, statuses=(200, 400))
        yield asked("/nowhere", header, statuses=(404, 400))
    too_large = b"X: " + b"x" * 200_000
    yield asked("/health/live", too_large, statuses=(431,))
    for smuggled in (b"X: a\nHost: b", b"X: a\rb", b" folded: x", b"X : y", b": y", b"X\0: y", b"X: \0"):
        yield asked("/health/live", smuggled, statuses=(200, 400))


def _methods() -> Iterator[Hostile]:
    paths = ("/", "/docs", "/openapi.json", "/v1/images", "/v1/search", ABSENT, ABSENT + "/content", "/health/live")
    of_head = {"/v1/search": 405, ABSENT: 404, ABSENT + "/content": 404}
    for path in paths:
        yield Hostile(name=f"HEAD {path}", method="HEAD", target=path.encode(), statuses=(of_head.get(path, 200),))
        for method in ("OPTIONS", "PUT", "TRACE", "PROPFIND", "PURGE", "SEARCH", "LINK"):
            yield Hostile(name=f"{method} {path}", method=method, target=path.encode(), statuses=(405,))
        for method in ("FOO", "get", "G\0T", "x" * 5000, "CONNECT"):
            yield Hostile(name=f"{method[:10]!r} {path}", method=method, target=path.encode(), statuses=(400, 405))
    yield Hostile(name="OPTIONS *", method="OPTIONS", target=b"*", statuses=(400, 404, 405))
    yield Hostile(name="PRI", method="PRI", target=b"*", statuses=(400, 404, 405))
    for path in ("/v1/images", "/v1/models", "/health/live"):
        yield Hostile(
            name=f"GET {path} with a body", method="GET", target=path.encode(), body=b"x" * 70_000, statuses=(200,)
        )


def _unread() -> Iterator[Hostile]:
    """Bodies of operations that have none: whatever they are called, and however little comes, nothing is parsed."""
    operations = [("GET", path, 200) for path in ("/v1/images", "/v1/models", "/health/live")]
    operations += [("GET", ABSENT, 404), ("DELETE", ABSENT, 404), ("GET", f"{ABSENT}/similar", 404)]
    multipart = b"Content-Type: multipart/form-data; boundary=B"
    twice, cut_off = form([part(b'name="limit"', b"1")] * 2), form([FILE])[:-6]
    for method, path, status in operations:
        for what, headers, body in (
            ("a form", (multipart,), form([FILE])),
            ("a form that gives a field twice", (multipart,), twice),
            ("a form without a boundary", (b"Content-Type: multipart/form-data",), twice),
            ("a form that is cut off", (multipart,), cut_off),
            ("thousands of fields", (multipart,), form([part(b'name="x"', b"")] * 5000)),
            ("thousands of files", (multipart,), form([part(b'name="x"; filename=a', b"")] * 5000)),
            ("a field of two megabytes", (multipart,), form([part(b'name="x"', b"x" * 2_000_000)])),
            ("terabytes that do not come", (multipart, b"Content-Length: 5000000000000"), cut_off),
            ("chunks that do not come", (multipart, b"Transfer-Encoding: chunked"), b"5\r\n--B\r\n\r\n"),
        ):
            yield Hostile(
                name=f"{method} {path} with {what}",
                method=method,
                target=path.encode(),
                headers=headers,
                body=body,
                statuses=(status,),
            )
