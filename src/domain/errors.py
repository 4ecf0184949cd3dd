"""Everything that can go wrong and has a name.

* LookalikeError
  + InvalidInputError: the caller can mend it
    - InvalidRegionError
    - InvalidFilterError
    - InvalidMetadataError
    - InvalidExamplesError
    - InvalidGroupingError
    - InvalidRankingError
    - TooFewLabelsError
    - InvalidCursorError
    - InvalidOrderError
    - InvalidKeyError
    - InvalidSourceError
  + ImageError: this picture cannot be used
    - BodyTooLargeError: too many bytes
    - ImageTooLargeError: too many pixels, by the header alone
    - UnsupportedImageError: not one of the accepted formats, by content
      * CameraRawError: a camera RAW file
    - ImageUnreadableError: an accepted format that cannot be decoded
    - FetchRefusedError: an URL that is never fetched
    - FetchFailedError: an URL at which no picture was found
  + FetchingDisabledError: pictures are not taken by URL here
  + ImageNotFoundError
  + ImageExistsError: another picture has this name
  + KeyRepeatedError: a batch has other bytes under this key already
  + LinkExpiredError: a signed link is no longer valid, or never was
  + FieldNotPublicError: a field that the caller may not see
  + EmbeddingSpaceError: the index holds embeddings of another space
  + UnavailableError: try again later
    - RepositoryUnavailableError
    - EncoderUnavailableError
    - DetectorUnavailableError
    - BusyError
  + DeadlinePassedError: the caller's wait was over before the work began
  + StorageFullError: no room left to store
  + InternalError: an unexpected failure of one item in a batch
  + ConfigurationError: the deployment must be changed before it can start
    - IndexMissingError: there is no index yet
    - IndexInUseError: the embedded index is open in another process
    - IndexDamagedError: what is stored cannot be opened
    - ModelError: weights that are missing, altered or of the wrong shape; an absent device
"""

from collections.abc import Sequence
from enum import Enum, auto
from uuid import UUID


class Remedy(Enum):
    """What an operator can do about a failure. `entrypoints.remedies` says by which command or setting."""

    REINDEX_EMBEDDINGS = auto()
    RESTORE_INTO_A_NEW_INDEX = auto()
    CHOOSE_ANOTHER_COLLECTION = auto()
    INDEX_THE_METADATA_KEY = auto()
    STOP_OR_ASK_THE_OTHER_PROCESS = auto()
    RESTORE_A_BACKUP = auto()
    CARRY_OVER_THE_OLDER_FORMAT = auto()
    FIND_THE_RIGHT_INDEX = auto()
    RESTORE_OR_FORGET_THE_IMAGE = auto()
    INDEX_THE_IMAGE_AGAIN = auto()
    RENDER_THE_THUMBNAIL_ANEW = auto()
    REMOVE_WHAT_IS_LEFT_OVER = auto()
    INSTALL_OR_CHOOSE_A_DETECTOR = auto()
    CHOOSE_A_DETECTOR_OR_REMOVE_OBJECTS = auto()
    EXPORT_AN_ENCODER = auto()
    EXPORT_A_DETECTOR = auto()
    PULL_THE_MODEL = auto()
    ENABLE_FETCHING = auto()


class LookalikeError(Exception):
    """Root of all named errors. `code` is stable and machine-readable; the message speaks to a person."""

    code = "error"

    def __init__(self, message: str = "", *, remedy: Remedy | None = None) -> None:
        self.remedy = remedy
        super().__init__(message)


class InvalidInputError(LookalikeError):
    """A parameter that does not validate."""

    code = "invalid_input"


class InvalidRegionError(InvalidInputError):
    """A region that is empty, or of which nothing lies inside the picture."""

    code = "invalid_region"


class InvalidFilterError(InvalidInputError):
    """A filter that names no known field, no test, or bounds of the wrong type."""

    code = "invalid_filter"


class InvalidMetadataError(InvalidInputError):
    """Metadata outside the limits: flat, at most 64 keys and 16 KiB."""

    code = "invalid_metadata"


class InvalidExamplesError(InvalidInputError):
    """Examples that give no direction to search in."""

    code = "invalid_examples"


class InvalidGroupingError(InvalidInputError):
    """A grouping by what has no groups, or the size of groups where there are none."""

    code = "invalid_grouping"


class InvalidRankingError(InvalidInputError):
    """A likeness, labels or colours to rank by where there are none to compare."""

    code = "invalid_ranking"


class TooFewLabelsError(InvalidInputError):
    """Too few pictures have values of a metadata key to learn from."""

    code = "too_few_labels"


class InvalidCursorError(InvalidInputError):
    """A cursor that no listing of ours has given out."""

    code = "invalid_cursor"


class InvalidOrderError(InvalidInputError):
    """An order that no listing has."""

    code = "invalid_order"


class InvalidKeyError(InvalidInputError):
    """A key that no picture can have."""

    code = "invalid_key"


class InvalidSourceError(InvalidInputError):
    """A source that is too long, or no text."""

    code = "invalid_source"


class ImageError(LookalikeError):
    """A picture that cannot be used."""

    code = "image_error"


class BodyTooLargeError(ImageError):
    """More bytes than the deployment accepts."""

    code = "body_too_large"


class ImageTooLargeError(ImageError):
    """More pixels, or a longer side, than the decode contract allows; known from the header alone."""

    code = "image_too_large"


class UnsupportedImageError(ImageError):
    """The content is not one of the accepted image formats."""

    code = "unsupported_image_format"


class CameraRawError(UnsupportedImageError):
    """The content is a camera RAW file, of which only a preview could be shown."""

    code = "camera_raw"


class ImageUnreadableError(ImageError):
    """The content is of an accepted format, but cannot be decoded whole."""

    code = "image_unreadable"


class FetchRefusedError(ImageError):
    """A picture's URL is never fetched: by its scheme, its spelling, or an address that is not public."""

    code = "fetch_refused"


class FetchFailedError(ImageError):
    """A picture was not found at its URL. `retryable`: another try may succeed."""

    code = "fetch_failed"

    def __init__(self, message: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(message)


class FetchingDisabledError(LookalikeError):
    """Pictures are not taken by URL here."""

    code = "fetching_disabled"

    def __init__(self) -> None:
        super().__init__("Pictures are not fetched by URL here: send the file itself.", remedy=Remedy.ENABLE_FETCHING)


class ImageNotFoundError(LookalikeError):
    """No image is stored under one or more ids or keys."""

    code = "image_not_found"

    def __init__(self, names: Sequence[UUID | str]) -> None:
        self.names = tuple(names)
        super().__init__(f"No image is stored under {', '.join(map(str, self.names))}.")


class ImageExistsError(LookalikeError):
    """An image is stored under this key, or id, already, and is not to be replaced."""

    code = "image_exists"

    def __init__(self, name: UUID | str) -> None:
        self.name = name
        super().__init__(f"An image is stored under {name} already.")


class KeyRepeatedError(LookalikeError):
    """A batch has other bytes under this key already."""

    code = "key_repeated"

    def __init__(self, key: str) -> None:
        super().__init__(f"The key {key} comes twice in this batch, with different pictures: send the second later.")


class LinkExpiredError(LookalikeError):
    """A signed link is no longer valid, or never was: of a stranger's link nothing more is told."""

    code = "link_expired"

    def __init__(self) -> None:
        super().__init__(
            "The link has expired, or its picture was replaced. Ask for the image again: it has a new one."
        )


class FieldNotPublicError(LookalikeError):
    """A field that the caller may not see, and so may not name in a filter either."""

    code = "field_not_public"


class EmbeddingSpaceError(LookalikeError):
    """The index was built in another embedding space than the encoder's."""

    code = "embedding_space_mismatch"


class UnavailableError(LookalikeError):
    """A dependency is away, or there is no capacity now. `retry_after` is in seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0, remedy: Remedy | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message, remedy=remedy)


class RepositoryUnavailableError(UnavailableError):
    """The index does not answer."""

    code = "repository_unavailable"


class EncoderUnavailableError(UnavailableError):
    """The encoder is not ready, or its runtime failed."""

    code = "encoder_unavailable"


class DetectorUnavailableError(UnavailableError):
    """This deployment runs no object detector, or it failed."""

    code = "detector_unavailable"

    @classmethod
    def none_here(cls) -> "DetectorUnavailableError":
        """There is none. `retry_after` is an hour, since it takes another deployment."""
        return cls(
            "This deployment runs no object detector.",
            retry_after=3600.0,
            remedy=Remedy.INSTALL_OR_CHOOSE_A_DETECTOR,
        )


class BusyError(UnavailableError):
    """More work is waiting than the service accepts."""

    code = "busy"


class DeadlinePassedError(LookalikeError):
    """The caller's deadline passed before the work began."""

    code = "deadline_passed"


class StorageFullError(LookalikeError):
    """No room is left to store pictures or vectors."""

    code = "storage_full"


class InternalError(LookalikeError):
    """An unexpected failure of one item in a batch. The caller has already logged it."""

    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("Something failed that should not. The log tells more.")


class ConfigurationError(LookalikeError):
    """The deployment must be changed before it can start."""

    code = "configuration_error"


class IndexMissingError(ConfigurationError):
    """There is no index yet."""

    code = "index_missing"


class IndexInUseError(ConfigurationError):
    """The embedded index is open in another process."""

    code = "index_in_use"


class IndexDamagedError(ConfigurationError):
    """What is stored cannot be opened."""

    code = "index_damaged"


class ModelError(ConfigurationError):
    """A model that cannot be run as asked: weights missing or altered, an unknown name, an absent device."""

    code = "model_error"
