"""What routes ask for: use cases from the application's container, and checks that several share.

All are coroutines: FastAPI sends plain functions to a thread, which costs more than they do.
"""

from collections import Counter
from typing import Annotated

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

from application.browse_images import BrowseImages
from application.delete_images import DeleteImages
from application.detect_objects import DetectObjects
from application.edit_metadata import EditMetadata
from application.extract_embedding import ExtractEmbedding
from application.index_images import IndexImages
from application.run_service import RunService
from application.search_by_examples import SearchByExamples
from application.search_similar import SearchSimilar
from entrypoints.container import Container
from entrypoints.http.routes.uploads import CountedRoute
from entrypoints.settings import HttpSettings


async def container(request: Request) -> Container:
    """The container of this application (several applications may live in one process)."""
    found: Container = request.app.state.container
    return found


ContainerOf = Annotated[Container, Depends(container)]


async def refuse_query_parameters(request: Request) -> None:
    """For operations without query parameters: an unknown parameter is refused, not ignored."""
    if request.query_params:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "unknown", "type": "extra_forbidden"} for name in request.query_params]
        )


async def refuse_repeated_parameters(request: Request) -> None:
    """A parameter that takes one value is refused when it comes twice: the last would silently win."""
    repeatable = {"files", "region", "labels"}
    given = [("query", name) for name, _ in request.query_params.multi_items()]
    route = request.scope["route"]
    if isinstance(route, CountedRoute) and route.reads_form:  # else this would be who reads it, without any bound
        given += [("body", name) for name, _ in (await request.form()).multi_items()]  # parsed already, and kept
    repeated = [place for place, times in Counter(given).items() if times > 1 and place[1] not in repeatable]
    if repeated:
        raise RequestValidationError(
            [{"loc": place, "msg": "it is given more than once", "type": "repeated"} for place in repeated]
        )


async def require_open(request: Request) -> None:
    """Refuse work until the index is open."""
    service: RunService = request.app.state.container.run_service()
    service.require_open()


async def root_path(request: Request) -> str:
    """The path under which a proxy serves us, without a slash at its end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


async def http_settings(container: ContainerOf) -> HttpSettings:
    """Limits of uploads."""
    return container.settings().http


async def _run_service(container: ContainerOf) -> RunService:
    return container.run_service()


async def _index_images(container: ContainerOf) -> IndexImages:
    return container.index_images()


async def _search_similar(container: ContainerOf) -> SearchSimilar:
    return container.search_similar()


async def _search_by_examples(container: ContainerOf) -> SearchByExamples:
    return container.search_by_examples()


async def _extract_embedding(container: ContainerOf) -> ExtractEmbedding:
    return container.extract_embedding()


async def _detect_objects(container: ContainerOf) -> DetectObjects:
    return container.detect_objects()


async def _browse_images(container: ContainerOf) -> BrowseImages:
    return container.browse_images()


async def _edit_metadata(container: ContainerOf) -> EditMetadata:
    return container.edit_metadata()


async def _delete_images(container: ContainerOf) -> DeleteImages:
    return container.delete_images()


NoQuery = Depends(refuse_query_parameters)
Once = Depends(refuse_repeated_parameters)
Open = Depends(require_open)
Root = Annotated[str, Depends(root_path)]
Http = Annotated[HttpSettings, Depends(http_settings)]
RunServiceOf = Annotated[RunService, Depends(_run_service)]
IndexImagesOf = Annotated[IndexImages, Depends(_index_images)]
SearchSimilarOf = Annotated[SearchSimilar, Depends(_search_similar)]
SearchByExamplesOf = Annotated[SearchByExamples, Depends(_search_by_examples)]
ExtractEmbeddingOf = Annotated[ExtractEmbedding, Depends(_extract_embedding)]
DetectObjectsOf = Annotated[DetectObjects, Depends(_detect_objects)]
BrowseImagesOf = Annotated[BrowseImages, Depends(_browse_images)]
EditMetadataOf = Annotated[EditMetadata, Depends(_edit_metadata)]
DeleteImagesOf = Annotated[DeleteImages, Depends(_delete_images)]
