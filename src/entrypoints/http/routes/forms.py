"""Multipart forms as they stream in: fields into memory, files beyond a megabyte onto the disk."""

import errno
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import islice
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Receive, Scope

from domain.errors import BodyTooLargeError, StorageFullError

MAX_FIELDS, MAX_FIELD_BYTES = 128, 1024 * 1024
"""Fields of a form, besides its files, and bytes of each; they are kept in memory. More than any operation takes."""

FILE_BYTES_IN_MEMORY = 1024 * 1024
"""Bytes of each file; a larger one is kept on disk."""

MAX_PARAMETERS = 8
"""Parameters of a Content-Disposition that are read. Each may be searched for its end in all that follows."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_PARAMETER = re.compile(
    rb"""
    ; [ \t]* ([^=;\s]+) [ \t]* = [ \t]*
    (?: "((?:[^"\\]|\\.)*)" (?=[ \t]*(?:;|$))  # quoted, with quotes behind backslashes
      | "(.*?)"             (?=[ \t]*(?:;|$))  # quoted, with backslashes and quotes as they are, as browsers send them
      | ([^;]*) )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(rb"\\([\\\"])")


class FormRequest(Request):
    """A request whose form is read by the bounds of this service."""

    def __init__(self, scope: Scope, receive: Receive, *, max_files: int) -> None:
        super().__init__(scope, receive)
        self._max_files = max_files

    async def form(self, **_: float) -> FormData:  # type: ignore[override]  # never used as a context manager
        """The form, read once.

        Raises BodyTooLargeError for too many or too long parts, StorageFullError, and HTTPException for a form that is
        malformed, cut off or not in UTF-8.
        """
        if self._form is None:
            content_type, options = parse_options_header(self.headers.get("content-type"))
            if content_type == b"multipart/form-data":
                charset = options.get(b"charset", b"utf-8").lower()
                if charset not in {b"utf-8", b"utf8", b"us-ascii"}:  # some that Python knows take their time
                    raise HTTPException(
                        415, f"Send the form's text in UTF-8, not in {charset[:40].decode('latin-1')!r}."
                    )
                if b"boundary" not in options:
                    raise HTTPException(400, "Missing boundary in multipart.")
                async with aclosing(self.stream()) as stream:
                    self._form = await _FormReader(options[b"boundary"], self._max_files).read(stream)
            else:
                try:
                    self._form = await super().form(max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
                except StarletteHTTPException as error:  # of a URL-encoded form, too many or too long fields alone
                    raise _too_many_fields() from error
        return self._form


class _FormReader:
    """Reads one multipart form. Its parts have the names that were sent, byte for byte in UTF-8.

    Starlette's reader says only by messages which bound was passed, and changes the names of files.
    """

    def __init__(self, boundary: bytes, max_files: int) -> None:
        self._boundary = boundary
        self._max_files = max_files
        self._items: list[tuple[str, str | UploadFile]] = []
        self._files: list[UploadFile] = []
        self._unwritten: list[tuple[UploadFile, bytes]] = []
        self._header_name = self._header_value = self._disposition = b""
        self._field_name, self._field = "", bytearray()
        self._file: UploadFile | None = None
        """The current part, where it is a file."""
        self._is_complete = False

    async def read(self, stream: AsyncIterator[bytes]) -> FormData:
        """The whole form."""
        try:
            parser = MultipartParser(
                self._boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
            async for piece in stream:
                parser.write(piece)
                for file, data in self._unwritten:  # on a thread, where the file is on disk
                    await file.write(data)
                self._unwritten.clear()
            parser.finalize()
            if not self._is_complete:
                end = f"--{self._boundary.decode('latin-1')}--"
                raise HTTPException(400, f"The multipart body is cut off: it has no {end!r}.")
            for file in self._files:
                await file.seek(0)
        except BaseException as error:
            for file in self._files:
                file.file.close()
            if isinstance(error, FormParserError):
                raise HTTPException(400, "Invalid multipart data.") from None
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise StorageFullError(
                    f"No room is left to receive the body in {tempfile.gettempdir()} (TMPDIR): {error.strerror}."
                ) from error
            raise
        return FormData(self._items)

    def _begin_part(self) -> None:
        self._disposition, self._field, self._file = b"", bytearray(), None

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        name, filename = names_of_part(self._disposition)
        if name is None:
            raise HTTPException(400, 'The Content-Disposition header field "name" must be provided.')
        self._field_name = name
        if filename is None:
            if len(self._items) - len(self._files) >= MAX_FIELDS:
                raise _too_many_fields()
            return
        if len(self._files) >= self._max_files:
            raise BodyTooLargeError(f"The form has more than the {self._max_files} files that are accepted.")
        spool = tempfile.SpooledTemporaryFile(max_size=FILE_BYTES_IN_MEMORY)  # noqa: SIM115 - closed with the form
        self._file = UploadFile(spool, size=0, filename=filename)  # type: ignore[arg-type]
        self._files.append(self._file)
        self._items.append((name, self._file))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._unwritten.append((self._file, data[start:end]))
        elif len(self._field) + end - start > MAX_FIELD_BYTES:
            raise BodyTooLargeError(f"A field has more than the {MAX_FIELD_BYTES} bytes that are accepted.")
        else:
            self._field += data[start:end]

    def _end_part(self) -> None:
        if self._file is None:
            self._items.append((self._field_name, _text(bytes(self._field))))

    def _end(self) -> None:
        self._is_complete = True


def names_of_part(disposition: bytes) -> tuple[str | None, str | None]:
    """The names of a part's field and of its file, by its Content-Disposition; None for each that it lacks.

    `filename*` (RFC 8187) comes before `filename`, and says each character exactly. In `filename`, as browsers and
    programs send it, quotes and backslashes alone are unescaped by a backslash: `%22` stays `%22`.
    """
    found: dict[bytes, bytes] = {}
    for match in islice(_PARAMETER.finditer(disposition), MAX_PARAMETERS):
        key, quoted, verbatim, token = match.groups(b"")
        found[key.lower()] = _ESCAPED.sub(rb"\1", quoted or verbatim) or token.strip(b" \t")
    name, plain = found.get(b"name"), found.get(b"filename")
    filename = _extended(found.get(b"filename*", b""))
    if filename is None and plain is not None:
        filename = _text(plain)
    return None if name is None else _text(name), filename


def _extended(value: bytes) -> str | None:
    """The text of `UTF-8'language'percent-encoded`; None where it is written otherwise (RFC 8187, section 3.2)."""
    charset, _, rest = value.partition(b"'")
    _, separator, encoded = rest.partition(b"'")
    try:
        return unquote_to_bytes(encoded).decode() if separator and charset.lower() == b"utf-8" else None
    except UnicodeDecodeError:
        return None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _too_many_fields() -> BodyTooLargeError:
    return BodyTooLargeError(f"The form has more than the {MAX_FIELDS} fields that are accepted.")
