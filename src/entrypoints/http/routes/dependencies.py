"""What routes ask for: use cases from the application's container, and checks that several share.

All are coroutines: FastAPI sends plain functions to a thread, which costs more than they do.
"""

from collections import Counter
from typing import Annotated

from fastapi import Depends, Query, Request, params
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict

from application.browse_images import BrowseImages
from application.delete_images import DeleteImages
from application.detect_objects import DetectObjects
from application.edit_metadata import EditMetadata
from application.extract_embedding import ExtractEmbedding
from application.fetch_pictures import FetchPictures
from application.index_images import IndexImages
from application.rename_images import RenameImages
from application.run_service import RunService
from application.search_by_examples import SearchByExamples
from application.search_similar import SearchSimilar
from entrypoints.container import Container
from entrypoints.http.access.roles import has_role
from entrypoints.http.contract.image_view import ImageView
from entrypoints.http.contract.name_schemas import KeyText
from entrypoints.http.routes.forms import FormRequest
from entrypoints.keys import Role


async def _container(request: Request) -> Container:
    found: Container = request.app.state.container  # several applications may live in one process
    return found


ContainerOf = Annotated[Container, Depends(_container)]


def use(kind: type[object]) -> params.Depends:
    """A use case of the container, by its class. Raises LookupError where the container provides none such."""
    names = [name for name, provider in Container.providers.items() if getattr(provider, "cls", None) is kind]
    if len(names) != 1:
        raise LookupError(f"The container provides {len(names)} of {kind.__name__}.")

    async def provided(container: ContainerOf) -> object:
        return container.providers[names[0]]()

    return params.Depends(provided)


RunServiceOf = Annotated[RunService, use(RunService)]
FetchPicturesOf = Annotated[FetchPictures, use(FetchPictures)]
IndexImagesOf = Annotated[IndexImages, use(IndexImages)]
SearchSimilarOf = Annotated[SearchSimilar, use(SearchSimilar)]
SearchByExamplesOf = Annotated[SearchByExamples, use(SearchByExamples)]
ExtractEmbeddingOf = Annotated[ExtractEmbedding, use(ExtractEmbedding)]
DetectObjectsOf = Annotated[DetectObjects, use(DetectObjects)]
BrowseImagesOf = Annotated[BrowseImages, use(BrowseImages)]
EditMetadataOf = Annotated[EditMetadata, use(EditMetadata)]
DeleteImagesOf = Annotated[DeleteImages, use(DeleteImages)]
RenameImagesOf = Annotated[RenameImages, use(RenameImages)]


async def _refuse_query(request: Request) -> None:
    if request.query_params:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "unknown", "type": "extra_forbidden"} for name in request.query_params]
        )


async def _refuse_repeats(request: Request) -> None:
    repeatable = {"files", "region", "labels"}
    given = [("query", name) for name, _ in request.query_params.multi_items()]
    if isinstance(request, FormRequest):
        given += [("body", name) for name, _ in (await request.form()).multi_items()]  # read already and kept
    repeated = [place for place, times in Counter(given).items() if times > 1 and place[1] not in repeatable]
    if repeated:
        raise RequestValidationError(
            [{"loc": place, "msg": "it is given more than once", "type": "repeated"} for place in repeated]
        )


async def _index_is_open(service: RunServiceOf) -> None:
    service.require_open()


async def _proxy_root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


async def _image_view(request: Request, container: ContainerOf) -> ImageView:
    return ImageView(
        root=await _proxy_root(request),
        sign=request.app.state.thumbnail_links.signed,
        public_metadata=None if has_role(request, Role.READ) else container.settings().auth.public_metadata,
    )


class KeyQuery(BaseModel):
    """Which image."""

    model_config = ConfigDict(extra="forbid")

    key: KeyText


async def _key(query: Annotated[KeyQuery, Query()]) -> str:
    return str(query.key)


refuse_query = Depends(_refuse_query)
"""For operations without query parameters: an unknown parameter is refused, not ignored."""

refuse_repeats = Depends(_refuse_repeats)
"""A parameter that takes one value is refused when it comes twice: the last would silently win."""

index_is_open = Depends(_index_is_open)
"""Refuse work until the index is open."""

ProxyRoot = Annotated[str, Depends(_proxy_root)]
"""The path under which a proxy serves us, without a slash at its end."""

CallerView = Annotated[ImageView, Depends(_image_view)]
"""How the caller sees images, by its role."""

KeyInQuery = Annotated[str, Depends(_key)]
"""A key as a query parameter: it may hold slashes, and anything else."""
