"""Talking to a running service instead of opening the index."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import httpx

from domain.errors import ConfigurationError, ImageError, InvalidInputError, UnavailableError
from entrypoints.cli.indexing import FileResult, Source
from entrypoints.cli.pictures import open_picture, stored_name
from entrypoints.settings import load_client_settings

GROUP_FILES = 32
GROUP_BYTES = 64 * 1024 * 1024
"""A batch ends when it has so many files, or bytes: small enough for the bar to move, and to lose little by Ctrl-C."""

ATTEMPTS = 6
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between attempts; doubled each time unless the service says how long to wait."""

TIMEOUT = httpx.Timeout(300.0, connect=10.0)
"""A batch is encoded before it is answered."""

PICTURE_CODES = frozenset(kind.code for kind in ImageError.__subclasses__())
"""Of problems with the picture that was sent, and not with how the service was asked."""

BUSY = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
Send = Callable[[], Awaitable[httpx.Response]]


class ServiceClient:
    """One service. Every failure of it as a whole is raised as a named error."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        pause: float = FIRST_PAUSE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._pause = pause
        headers = {} if key is None else {b"Authorization": b"Bearer " + os.fsencode(key.strip())}
        try:
            self._http = httpx.AsyncClient(base_url=self._url, headers=headers, timeout=TIMEOUT, transport=transport)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise InvalidInputError(f"{url!r} is no address of a service: {error}") from error

    async def __aenter__(self) -> "ServiceClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def require(self) -> None:
        """See that a service answers, at once and without trying again. Raises UnavailableError."""
        try:
            response = await self._http.get("/health/live")
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"No service answers at {self._url} ({_reason(error)}). Start one with `lookalike serve`, or correct "
                "the address."
            ) from error
        if response.status_code != httpx.codes.OK:
            raise UnavailableError(f"What answers at {self._url} is no Lookalike service ({response.status_code}).")

    async def search(self, picture: Path, fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
        """POST /v1/search: the answer's JSON. Raises InvalidInputError or ImageError with what was refused."""
        content = await asyncio.to_thread(_content, picture)
        files = {"file": (stored_name(picture), content, "application/octet-stream")}
        response = await self._patiently(lambda: self._http.post("/v1/search", data=fields, files=files))
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response)
        result: dict[str, Any] = response.json()
        return result

    async def get(self, path: str) -> bytes:
        """The bytes of a resource, such as a thumbnail. Raises as `search`."""
        response = await self._patiently(lambda: self._http.get(path))
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response)
        return response.content

    async def has_image(self, image_id: str) -> bool:
        """Whether an image is stored there. Raises as `search`."""
        response = await self._patiently(lambda: self._http.get(f"/v1/images/{image_id}"))
        if response.status_code not in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
            raise self._refusal(response)
        return response.status_code == httpx.codes.OK

    async def index(self, paths: list[Path], metadata: str | None) -> list[FileResult]:
        """POST /v1/images/batch, streamed from disk: a result for each path, in order."""
        readable, unreadable = [], {}
        for path in paths:
            try:
                open_picture(path).close()
            except OSError as error:
                unreadable[path] = FileResult(path=path, status="failed", reason=_unreadable(error))
            else:
                readable.append(path)
        sent = dict(zip(readable, await self._index_readable(readable, metadata), strict=True)) if readable else {}
        return [unreadable.get(path) or sent[path] for path in paths]

    async def _index_readable(self, paths: list[Path], metadata: str | None) -> list[FileResult]:
        try:
            response = await self._patiently(lambda: self._post_batch(paths, metadata))
        except OSError as error:  # one of them has gone since, has changed, or cannot be read to its end
            return await self._index_halves(paths, metadata, _unreadable(error))
        if response.status_code == httpx.codes.MULTI_STATUS:
            answers = response.json()["results"]
            return [_result(path, answer) for path, answer in zip(paths, answers, strict=True)]
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            # The service's limit for a batch is smaller than ours.
            return await self._index_halves(paths, metadata, _detail(response))
        raise self._refusal(response)

    async def _index_halves(self, paths: list[Path], metadata: str | None, reason: str) -> list[FileResult]:
        """What could not be sent together; for that `reason` a file alone fails."""
        if len(paths) == 1:
            return [FileResult(path=paths[0], status="failed", reason=reason)]
        half = len(paths) // 2
        return [
            *await self._index_readable(paths[:half], metadata),
            *await self._index_readable(paths[half:], metadata),
        ]

    async def _post_batch(self, paths: list[Path], metadata: str | None) -> httpx.Response:
        with ExitStack() as opened:
            files: list[tuple[str, tuple[str, IO[bytes], str]]] = [
                ("files", (stored_name(path), opened.enter_context(_Sent(path)), "application/octet-stream"))
                for path in paths
            ]
            data = {} if metadata is None else {"metadata": metadata}
            return await self._http.post("/v1/images/batch", data=data, files=files)

    async def _patiently(self, send: Send) -> httpx.Response:
        """Send, again while the service is busy or away: everything sent here is safe to repeat."""
        pause = self._pause
        for attempt in range(ATTEMPTS):
            try:
                response = await send()
            except httpx.TransportError as error:
                failure = _reason(error)
                wait = pause
            else:
                if response.status_code not in BUSY:
                    return response
                failure = _detail(response)
                wait = _retry_after(response) or pause
            if attempt < ATTEMPTS - 1:
                await asyncio.sleep(min(wait, LONGEST_PAUSE))
                pause *= 2
        raise UnavailableError(f"The service at {self._url} did not answer {ATTEMPTS} times: {failure}.")

    def _refusal(self, response: httpx.Response) -> Exception:
        message = f"The service at {self._url} refuses: {_detail(response)}"
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return ConfigurationError(f"{message} Give a key with --key or in LOOKALIKE_CLIENT__KEY.")
        if _problem(response).get("code") in PICTURE_CODES:
            return ImageError(message)
        return InvalidInputError(message) if response.is_client_error else UnavailableError(message)


class _Sent(BufferedReader):
    """A file whose length is announced before it is read: raises OSError where it turns out to have another."""

    def __init__(self, path: Path) -> None:
        super().__init__(open_picture(path))
        self._left = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._left -= len(chunk)
        if self._left < 0 or (self._left and not chunk):
            raise OSError("Its size changed while it was sent")
        return chunk


def chosen_key(given: str | None) -> str | None:
    """The key that the command line gives, else that of the settings. Raises ConfigurationError."""
    if given is not None:
        return given
    configured = load_client_settings().key
    return configured.get_secret_value() if configured else None


def index_there(url: str, key: str | None, metadata: str | None) -> Source:
    """Indexing by a running service."""

    async def index(files: Iterator[Path]) -> AsyncGenerator[FileResult]:
        async with ServiceClient(url, key) as service:
            await service.require()
            for group in groups(files):
                for result in await service.index(group, metadata):
                    yield result

    return index


def groups(files: Iterator[Path]) -> Iterator[list[Path]]:
    """Files in batches of at most GROUP_FILES and, unless one alone is larger, GROUP_BYTES."""
    group: list[Path] = []
    total = 0
    for path in files:
        size = _size(path)
        if group and (len(group) == GROUP_FILES or total + size > GROUP_BYTES):
            yield group
            group, total = [], 0
        group.append(path)
        total += size
    if group:
        yield group


def _content(path: Path) -> bytes:
    with open_picture(path) as file:
        return file.readall()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _result(path: Path, answer: dict[str, Any]) -> FileResult:
    problem = answer.get("problem") or {}
    return FileResult(
        path=path,
        status=answer["status"],
        reason=problem.get("detail", ""),
        hopeless=problem.get("code") == "storage_full",
    )


def _unreadable(error: OSError) -> str:
    return f"The file cannot be read: {error.strerror or error}."


def _problem(response: httpx.Response) -> dict[str, Any]:
    """What the service says of its refusal; nothing where another has answered."""
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _detail(response: httpx.Response) -> str:
    return str(_problem(response).get("detail") or f"{response.status_code} {response.reason_phrase}")


def _retry_after(response: httpx.Response) -> float:
    try:
        return float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
