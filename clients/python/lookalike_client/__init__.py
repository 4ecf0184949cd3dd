"""A client of Lookalike, the service that finds images that look like yours.

    from lookalike_client import Lookalike

    with Lookalike("http://127.0.0.1:8000", api_key=...) as lookalike:
        for outcome in lookalike.index_many(Path("pictures").glob("*.jpg")):
            print(outcome.picture, outcome.status, outcome.error or "")
        for match in lookalike.search("hat.jpg", limit=5).matches:
            print(f"{match.score:.3f} {match.image.filename}")

`AsyncLookalike` is the same for programs with an event loop.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike_client.asynchronous import AsyncLookalike
    from lookalike_client.errors import (
        ConflictError,
        InvalidRequestError,
        LookalikeError,
        NoServiceError,
        NotAllowedError,
        NotFoundError,
        PictureError,
        PictureFileError,
        ServiceError,
        StorageFullError,
        UnavailableError,
    )
    from lookalike_client.models import (
        Box,
        DetectedObject,
        Detections,
        Edited,
        Embedding,
        FacetCount,
        Image,
        ImagePage,
        Match,
        MatchGroup,
        Models,
        Problem,
        Query,
        RegionMatch,
        Renamed,
        SearchResult,
    )
    from lookalike_client.names import Key, Renaming
    from lookalike_client.outcomes import Outcome
    from lookalike_client.pictures import NewPicture, Picture, Url
    from lookalike_client.synchronous import Lookalike
else:

    def __getattr__(name: str) -> object:
        """Import what is asked for (PEP 562): `--help` of the command line needs neither httpx nor pydantic."""
        if name in __all__:
            for module in ("asynchronous", "synchronous", "errors", "models", "outcomes"):
                if (found := getattr(import_module(f"{__name__}.{module}"), name, None)) is not None:
                    return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AsyncLookalike",
    "Box",
    "ConflictError",
    "DetectedObject",
    "Detections",
    "Edited",
    "Embedding",
    "FacetCount",
    "Image",
    "ImagePage",
    "InvalidRequestError",
    "Key",
    "Lookalike",
    "LookalikeError",
    "Match",
    "MatchGroup",
    "Models",
    "NewPicture",
    "NoServiceError",
    "NotAllowedError",
    "NotFoundError",
    "Outcome",
    "Picture",
    "PictureError",
    "PictureFileError",
    "Problem",
    "Query",
    "RegionMatch",
    "Renamed",
    "Renaming",
    "SearchResult",
    "ServiceError",
    "StorageFullError",
    "UnavailableError",
    "Url",
]
