"""Pictures on their way in: at most so many bytes, read when their turn comes, under a name that can be shown."""

import unicodedata
from pathlib import PurePosixPath

from fastapi import UploadFile, params

from application.prepare_pictures import Upload
from domain.errors import BodyTooLargeError, InvalidInputError
from domain.metadata import Metadata, checked_metadata
from domain.names import checked_key, checked_source
from entrypoints.http.contract.name_schemas import NewPicture

MAX_FILENAME = 255

MULTIPART = params.Form(media_type="multipart/form-data")
"""A form with files; FastAPI would document one whose files are fields of a model as URL-encoded."""


async def read_picture(file: UploadFile, limit: int) -> bytes:
    """The bytes of one picture. Raises BodyTooLargeError above `limit` bytes."""
    if file.size is not None and file.size > limit:
        raise BodyTooLargeError(f"The picture has {file.size} bytes; at most {limit} are accepted.")
    return await file.read()


def upload_of(
    file: UploadFile, limit: int, *, key: str | None, source: str | None, metadata: Metadata | None, adopt: bool
) -> Upload:
    """The use case's view of a file; its bytes stay on disk until they are read."""
    return Upload(
        filename=clean_filename(file.filename),
        read=lambda: read_picture(file, limit),
        key=key,
        source=source,
        metadata=metadata,
        adopt=adopt,
    )


def batch_upload_of(file: UploadFile, limit: int, item: NewPicture, *, adopt: bool) -> Upload:
    """Likewise, of a batch. Where what comes with the picture is wrong, reading it raises that."""
    try:
        return upload_of(
            file,
            limit,
            key=None if item.key is None else checked_key(item.key),
            source=checked_source(item.source) if item.source else None,
            metadata=None if item.metadata is None else checked_metadata(item.metadata),
            adopt=adopt,
        )
    except InvalidInputError as error:
        refusal = error

    async def refuse() -> bytes:
        raise refusal

    return Upload(filename=clean_filename(file.filename), key=item.key, read=refuse)


def clean_filename(name: str | None) -> str:
    """The last part of a path of either kind, in normal form C, without control characters; at most 255 characters.

    Blanks stay. Filters compare in normal form C: a name in another would never be found.
    """
    last = PurePosixPath(unicodedata.normalize("NFC", name or "").replace("\\", "/")).name
    printable = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    return printable[:MAX_FILENAME] if printable.strip() else "unnamed"
