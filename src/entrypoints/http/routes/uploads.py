"""Pictures on their way in: at most so many bytes, read when their turn comes, under a name that can be shown."""

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit

from fastapi import Depends, Request, UploadFile, params

from application.fetch_pictures import AHEAD, FetchPictures
from application.prepare_pictures import Upload
from domain.errors import BodyTooLargeError, InvalidInputError, InvalidSourceError
from domain.exif import ExifPart
from domain.metadata import checked_metadata
from domain.names import checked_key, checked_source
from entrypoints.http.access.roles import RequiredRole
from entrypoints.http.contract.name_schemas import NewPicture
from entrypoints.http.contract.parameters import PictureForm
from entrypoints.http.routes.bodies import BytesInFlight
from entrypoints.http.routes.dependencies import FetchPicturesOf
from entrypoints.keys import Role
from entrypoints.settings import Settings
from lookalike_client.names import text_of_url

MAX_FILENAME = 255

MULTIPART = params.Form(media_type="multipart/form-data")
"""A form with files; FastAPI would document one whose files are fields of a model as URL-encoded."""


class Pictures:
    """The pictures of one request: files that came with it, or what is at URLs."""

    def __init__(self, request: Request, fetch: FetchPictures, held: ExitStack) -> None:
        self.fetch = fetch
        self._request = request
        self._settings: Settings = request.app.state.container.settings()
        self._http = self._settings.http
        self._held = held

    async def read(self, given: PictureForm) -> bytes:
        """The bytes of one picture. Raises BodyTooLargeError, what FetchPictures does, and HTTPException."""
        if given.url is not None:
            self.admit(1)
            return await self.fetch.one(given.url)
        assert given.file is not None  # noqa: S101 - the form has the one or the other
        return await self.read_file(given.file)

    async def read_file(self, file: UploadFile) -> bytes:
        """The bytes of a file. Raises BodyTooLargeError."""
        most = self._http.max_upload_bytes
        if file.size is not None and file.size > most:
            raise BodyTooLargeError(f"The picture has {file.size} bytes; at most {most} are accepted.")
        return await file.read()

    def exif(self, given: frozenset[ExifPart] | None) -> frozenset[ExifPart]:
        """What of their EXIF becomes metadata."""
        return self._settings.metadata.exif if given is None else given

    def admit(self, pictures: int) -> None:
        """Let the caller have pictures fetched; those in memory count as bodies in flight until the answer.

        Raises HTTPException where it may not, BodyTooLargeError for too many, BusyError where there is no room.
        """
        RequiredRole(Role.WRITE).check(self._request)
        if pictures > self._http.max_batch_files:
            raise BodyTooLargeError(
                f"The batch has {pictures} pictures; at most {self._http.max_batch_files} are accepted."
            )
        in_flight: BytesInFlight = self._request.app.state.bytes_in_flight
        self._held.enter_context(in_flight.hold(min(pictures, AHEAD) * self._http.max_upload_bytes))


async def _pictures(request: Request, fetch: FetchPicturesOf) -> AsyncIterator[Pictures]:
    with ExitStack() as held:
        yield Pictures(request, fetch, held)


PicturesOf = Annotated[Pictures, Depends(_pictures)]


def upload_of(
    filename: str,
    read: Callable[[], Awaitable[bytes]],
    item: NewPicture,
    *,
    adopt: bool,
    exif: frozenset[ExifPart],
) -> Upload:
    """The use case's view of one picture of many. Where what comes with it is wrong, reading it raises that."""
    try:
        return Upload(
            filename=filename,
            read=read,
            key=None if item.key is None else checked_key(item.key),
            source=checked_source(item.source) if item.source else None,
            metadata=None if item.metadata is None else checked_metadata(item.metadata),
            adopt=adopt,
            exif=exif,
        )
    except InvalidInputError as error:
        refusal = error

    async def refuse() -> bytes:
        raise refusal

    return Upload(filename=filename, key=item.key, read=refuse)


def source_at(url: str) -> str | None:
    """A URL as the source of its picture; None where it is too long for one."""
    try:
        return checked_source(text_of_url(url))
    except InvalidSourceError:
        return None


def filename_at(url: str) -> str:
    """The filename of the picture at a URL: the last part of its path."""
    try:
        return clean_filename(unquote(urlsplit(url).path))
    except ValueError:  # no URL, as will be noticed
        return clean_filename(None)


def clean_filename(name: str | None) -> str:
    """The last part of a path of either kind, in normal form C, without control characters; at most 255 characters.

    Blanks stay. Filters compare in normal form C: a name in another would never be found.
    """
    last = PurePosixPath(unicodedata.normalize("NFC", name or "").replace("\\", "/")).name
    printable = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    return printable[:MAX_FILENAME] if printable.strip() else "unnamed"
