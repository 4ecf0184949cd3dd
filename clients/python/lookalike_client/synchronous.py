"""The client for programs without an event loop. `make_synchronous.py` makes it from `asynchronous.py`."""

import json
import os
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from itertools import islice
from types import TracebackType
from typing import Any, Literal, TypeVar
from uuid import UUID

import httpx
from pydantic import ValidationError

from lookalike_client import _thread_runtime as runtime
from lookalike_client.errors import NoServiceError, ServiceError, error_of, problem_of
from lookalike_client.forms import Field, Form
from lookalike_client.models import (
    Answer,
    Deleted,
    Detections,
    Edited,
    EditedMany,
    Embedding,
    FacetCount,
    Facets,
    Image,
    ImagePage,
    Lookup,
    MetadataValue,
    Models,
    Problem,
    Renamed,
    RenamedMany,
    SearchResult,
    Target,
    Updated,
)
from lookalike_client.names import Key, Name, Renaming, as_json, id_of
from lookalike_client.outcomes import BatchAnswer, BatchItem, Outcome
from lookalike_client.pictures import (
    MAX_PICTURE_BYTES,
    NewPicture,
    Picture,
    SentFile,
    Url,
    batches,
    chunks,
    is_stored,
    read_all,
    read_picture,
)
from lookalike_client.retries import LONGEST_PAUSE, TRY_AGAIN, asked_pause, pauses

AnswerType = TypeVar("AnswerType", bound=Answer)
Filter = Mapping[str, Any]
IfExists = Literal["replace", "keep", "fail"]
Region = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright picture."""

NAMES_AT_ONCE = 1000
"""As many as the service takes in one request."""


class Lookalike:
    """A Lookalike service. Every refusal is a LookalikeError (see `lookalike_client.errors`).

    Requests are repeated where the service is busy (429, 503), after the pause that it asks for (`Retry-After`), and
    where the connection fails. What deletes or changes by a filter is not repeated once it may have arrived.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = 300.0,
        retries: int = 5,
        max_picture_bytes: int = MAX_PICTURE_BYTES,
        verify: Any = True,  # noqa: ANN401 - httpx's type: bool | ssl.SSLContext
        transport: runtime.Transport | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: Of the service, with the path under which a proxy serves it.
            api_key: Where the service asks for one.
            timeout: Seconds to wait for an answer; connecting has 10.
            retries: Further attempts where the service is busy or away.
            max_picture_bytes: Larger files are not read, and fail.
            verify: False, or an `ssl.SSLContext` that knows the service's certificate.
            transport: Another transport of httpx's.

        Raises ValueError for an address or an API key that is none.
        """
        self.url = url.rstrip("/")
        if not re.match(r"https?://[^/\s]", self.url):
            raise ValueError(f"{url!r} is no address of a service: write it as http://127.0.0.1:8000.")
        if retries < 0:
            raise ValueError(f"retries is 0 or more, not {retries}")
        if api_key is not None and not api_key.strip().isprintable():
            raise ValueError("The API key holds characters that no key has, such as a line's end.")
        self._retries = retries
        self._max_picture_bytes = max_picture_bytes
        headers = {} if api_key is None else {b"Authorization": b"Bearer " + os.fsencode(api_key.strip())}
        try:
            self._http = runtime.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(timeout, connect=10.0),
                verify=verify,
                transport=transport,
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ValueError(f"{url!r} is no address of a service: {error}") from error

    def __enter__(self) -> "Lookalike":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> None:
        """See at once, without trying again, that a service answers. Raises NoServiceError."""
        response = self._attempt("GET", "/health/live", timeout=10.0)
        if response.status_code != HTTPStatus.OK:
            raise NoServiceError(f"What answers at {self.url} is no Lookalike service ({response.status_code}).")

    def index(
        self,
        picture: Picture,
        *,
        filename: str | None = None,
        key: str | None = None,
        source: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        if_exists: IfExists = "replace",
        adopt: bool = False,
        exif: bool | str | None = None,
    ) -> Outcome:
        """Index a picture.

        Args:
            picture: What to index.
            filename: Without one, that of the file.
            key: Your own name for it. Other bytes that are there under it are replaced. Without a key, a picture is
                known by its bytes.
            source: Where it came from: a path or an URL, kept as text.
            metadata: Replaces that of a picture that is there.
            if_exists: What to do with a picture that is there: `replace`, `keep` or `fail` (ConflictError).
            adopt: Give the key to a picture of the same bytes that is stored without one.
            exif: What the picture's EXIF adds to its metadata: True for `taken,camera,lens`, or names of these and
                `place`. None leaves it to the service.

        Raises PictureFileError, PictureError, InvalidRequestError, NotAllowedError, UnavailableError, StorageFullError.
        """
        fields: dict[str, Field | None] = {
            "key": key,
            "source": source,
            "exif": exif,
            "metadata": _json(metadata),
            "if_exists": if_exists,
            "adopt": adopt,
        }
        form = self._form_about(NewPicture(picture, filename), fields)
        response = self._answered("POST", "/v1/images", form=form)
        status: Any = response.headers.get("X-Outcome")
        return Outcome(picture=picture, status=status, image=self._parsed(response, Image))

    def index_many(
        self,
        pictures: Iterable[Picture | NewPicture],
        *,
        metadata: Mapping[str, MetadataValue] | None = None,
        if_exists: IfExists = "replace",
        adopt: bool = False,
        exif: bool | str | None = None,
        concurrency: int = 3,
    ) -> Generator[Outcome]:
        """Index pictures in batches, at most `concurrency` of them at once; yields an outcome for each, in order.

        `metadata` is that of pictures which bring none of their own; `if_exists`, `adopt`, `exif` are as in `index`.
        `pictures` is read as it is needed. One that cannot be used or stored fails alone, also where those after it
        would fail as well: with UnavailableError, as StorageFullError. Raises what concerns the service as a whole:
        NoServiceError, NotAllowedError, InvalidRequestError, UnavailableError. Sending all again is safe.
        """
        if concurrency < 1:
            raise ValueError(f"concurrency is 1 or more, not {concurrency}")

        fields: dict[str, Field | None] = {"if_exists": if_exists, "adopt": adopt, "exif": exif}

        def index_batch(batch: list[NewPicture]) -> list[Outcome]:
            return self._index_batch(batch, metadata, fields)

        with closing(runtime.in_order(index_batch, batches(pictures), concurrency)) as answered:
            for outcomes in answered:
                for outcome in outcomes:
                    yield outcome

    def find_stored(
        self, pictures: Iterable[NewPicture]
    ) -> Generator[tuple[NewPicture, Image | None, bool]]:
        """Each picture, in order, with the image under its key, and whether sending it would change nothing.

        Without metadata or a source, those that are stored do.
        """
        for some in chunks(pictures, NAMES_AT_ONCE):
            keys = [Key(new.key) for new in some if new.key is not None]
            images = dict(zip(keys, self.lookup(keys), strict=True))
            for new in some:
                image = None if new.key is None else images[Key(new.key)]
                same = image is not None and runtime.in_thread(is_stored, new, image, self._max_picture_bytes)
                yield new, image, same

    def list_images(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        filter: Filter | None = None,  # noqa: A002
        order_by: str | None = None,
    ) -> ImagePage:
        """A page of the listing: at most `limit` (1 to 200), beginning at a page's `next_cursor`.

        It is newest first, or by `created_at`, `updated_at` or a declared integer, float or datetime key of the
        metadata; `-metadata.price` is descending. Images without the key are left out.
        """
        given = {"limit": limit, "cursor": cursor, "filter": _json(filter), "order_by": order_by}
        return self._get("/v1/images", ImagePage, **given)

    def images(
        self,
        *,
        filter: Filter | None = None,  # noqa: A002
        order_by: str | None = None,
    ) -> Generator[Image]:
        """All images that match, in the order of `list_images`."""
        page = self.list_images(limit=200, filter=filter, order_by=order_by)
        while True:
            for image in page.items:
                yield image
            if page.next_cursor is None:
                return
            page = self.list_images(limit=200, cursor=page.next_cursor, filter=filter, order_by=order_by)

    def get(self, id: Name) -> Image:  # noqa: A002
        """What is known of an image, by its id or `Key`. Raises NotFoundError."""
        return self._parsed(self._answered("GET", **_called(id)), Image)

    def lookup(self, names: Iterable[Name]) -> list[Image | None]:
        """What is known of images, by their ids or `Key`s, in the order given; None for one that is not there."""
        asked = list(names)
        found: dict[UUID, Image] = {}
        for some in chunks(asked, NAMES_AT_ONCE):
            body = {
                "ids": [str(name) for name in some if not isinstance(name, Key)],
                "keys": [name for name in some if isinstance(name, Key)],
            }
            response = self._answered("POST", "/v1/images/lookup", json=body)
            found |= {image.id: image for image in self._parsed(response, Lookup).items}
        return [found.get(id_of(name)) for name in asked]

    def rename(self, keys: Mapping[str, str] | Iterable[tuple[str, str] | Renaming]) -> list[Renamed]:
        """Give images other keys, from each to its other; what became of each, in order. Nothing is encoded again."""
        renamings = [Renaming(*pair) for pair in (keys.items() if isinstance(keys, Mapping) else keys)]
        items = [
            {"from": each.before, "to": each.after}
            | {name: value for name in ("source", "filename") if (value := getattr(each, name)) is not None}
            for each in renamings
        ]
        renamed: list[Renamed] = []
        for some in chunks(items, NAMES_AT_ONCE):
            body = {"items": some}
            response = self._answered("POST", "/v1/images/rename", json=body, repeatable=False)
            renamed += self._parsed(response, RenamedMany).results
        return renamed

    def edit(self, id: Name, metadata: Mapping[str, MetadataValue | None]) -> Image:  # noqa: A002
        """Change metadata: keys given are set, those given as None removed, others stay. Raises NotFoundError."""
        response = self._answered("PATCH", **_called(id), json={"metadata": metadata})
        return self._parsed(response, Image)

    def edit_many(self, patches: Iterable[tuple[Name, Mapping[str, MetadataValue | None]]]) -> list[Edited]:
        """Change the metadata of many images, each by a patch as in `edit`; what became of each, in order."""
        items = [{"key" if isinstance(name, Key) else "id": str(name), "metadata": patch} for name, patch in patches]
        edited: list[Edited] = []
        for some in chunks(items, NAMES_AT_ONCE):
            body = {"items": some}
            response = self._answered("POST", "/v1/images/metadata", json=body)
            edited += self._parsed(response, EditedMany).results
        return edited

    def edit_matching(self, filter: Filter, metadata: Mapping[str, MetadataValue | None]) -> int:  # noqa: A002
        """Change the metadata of all images that match, by one patch; how many those were."""
        body = {"filter": filter, "metadata": metadata}
        response = self._answered("POST", "/v1/images/metadata", json=body, repeatable=False)
        return self._parsed(response, Updated).updated

    def delete(self, id: Name) -> None:  # noqa: A002
        """Remove an image, its objects, and its files where no other image has the same. Raises NotFoundError."""
        self._answered("DELETE", **_called(id))

    def delete_matching(self, filter: Filter) -> int:  # noqa: A002
        """Remove all images that match; how many. A filter that names nothing is refused."""
        response = self._answered("POST", "/v1/images/delete", json={"filter": filter}, repeatable=False)
        return self._parsed(response, Deleted).deleted

    def content(self, id: Name) -> bytes:  # noqa: A002
        """The original, byte for byte. Raises NotFoundError."""
        return (self._answered("GET", f"{_path(id)}/content")).content

    def thumbnail(self, id: Name) -> bytes:  # noqa: A002
        """A small upright JPEG. Raises NotFoundError."""
        return (self._answered("GET", f"{_path(id)}/thumbnail")).content

    def facets(
        self,
        fields: Sequence[str],
        *,
        filter: Filter | None = None,  # noqa: A002
        limit: int = 100,
    ) -> Mapping[str, list[FacetCount]]:
        """The values of fields with how many images have each: the `limit` most frequent of each field.

        Fields are `labels`, `media_type` and metadata keys that the service declares as keyword, integer or bool.
        """
        body = {"fields": [fields] if isinstance(fields, str) else list(fields), "filter": filter, "limit": limit}
        return self._parsed(self._answered("POST", "/v1/facets", json=body), Facets).facets

    def search(
        self,
        picture: Picture,
        *,
        limit: int = 10,
        offset: int = 0,
        score_threshold: float | None = None,
        min_likeness: float | None = None,
        filter: Filter | None = None,  # noqa: A002
        group_by: str | None = None,
        group_size: int | None = None,
        diversity: float = 0.0,
        adapt_to: str | None = None,
        color_weight: float = 0.0,
        regions: Sequence[Region] = (),
        target: Target = "images",
        exact: bool = False,
    ) -> SearchResult:
        """The indexed images most similar to a picture, best first.

        Args:
            picture: It is not stored.
            limit: Matches, or groups, at most, 1 to 500.
            offset: How many of the best to leave out, 0 to 10,000.
            score_threshold: Least cosine similarity in [-1, 1].
            min_likeness: Least likeness in [0, 1]: 0.5 leaves what is `alike`, 0.75 what is `very_alike`.
            filter: Among which images.
            group_by: Show one match for each value of `metadata.<key>`, a key that the service declares as keyword or
                integer, or of `sha256`.
            group_size: Most matches of a group, 1 (if not given) to 10: the others are in `group.more`.
            diversity: How much likeness to better matches counts against a match, 0 to 1.
            adapt_to: `metadata.<key>`, a key that the service declares as keyword: what tells its values apart among
                the indexed pictures counts too. With the target `images`, as `color_weight`.
            color_weight: How much colours count against all else, 0 to 1.
            regions: Parts of the picture to search for, (x_min, y_min, x_max, y_max) in its pixels: one, or up to 8
                with the target `objects`.
            target: What to compare with.
            exact: Compare with every vector instead of the approximate index.

        Raises PictureFileError, PictureError, InvalidRequestError, NotAllowedError, UnavailableError.
        """
        fields: dict[str, Field | None] = {
            "limit": limit,
            "offset": offset,
            "score_threshold": score_threshold,
            "filter": _json(filter),
            **_arrangement(
                min_likeness=min_likeness,
                group_by=group_by,
                group_size=group_size,
                diversity=diversity,
                adapt_to=adapt_to,
                color_weight=color_weight,
                exact=exact,
            ),
            "region": [",".join(map(str, region)) for region in regions],
            "target": target,
        }
        return self._about("/v1/search", picture, fields, SearchResult)

    def search_examples(
        self,
        positive: Sequence[Name],
        negative: Sequence[Name] = (),
        *,
        limit: int = 10,
        offset: int = 0,
        score_threshold: float | None = None,
        min_likeness: float | None = None,
        filter: Filter | None = None,  # noqa: A002
        group_by: str | None = None,
        group_size: int | None = None,
        diversity: float = 0.0,
        adapt_to: str | None = None,
        color_weight: float = 0.0,
        exact: bool = False,
    ) -> SearchResult:
        """Images like some that are indexed, by ids or `Key`s, and unlike others. Raises NotFoundError."""
        body = {
            "positive": list(map(as_json, positive)),
            "negative": list(map(as_json, negative)),
            "limit": limit,
            "offset": offset,
            "score_threshold": score_threshold,
            "filter": filter,
            **_arrangement(
                min_likeness=min_likeness,
                group_by=group_by,
                group_size=group_size,
                diversity=diversity,
                adapt_to=adapt_to,
                color_weight=color_weight,
                exact=exact,
            ),
        }
        return self._parsed(self._answered("POST", "/v1/search/examples", json=body), SearchResult)

    def similar(
        self,
        id: Name,  # noqa: A002
        *,
        limit: int = 10,
        offset: int = 0,
        score_threshold: float | None = None,
        min_likeness: float | None = None,
        filter: Filter | None = None,  # noqa: A002
        group_by: str | None = None,
        group_size: int | None = None,
        diversity: float = 0.0,
        adapt_to: str | None = None,
        color_weight: float = 0.0,
        exact: bool = False,
    ) -> SearchResult:
        """Images like one that is indexed, itself left out; see `search`. Raises NotFoundError."""
        return self._get(
            f"{_path(id)}/similar",
            SearchResult,
            limit=limit,
            offset=offset,
            score_threshold=score_threshold,
            filter=_json(filter),
            **_arrangement(
                min_likeness=min_likeness,
                group_by=group_by,
                group_size=group_size,
                diversity=diversity,
                adapt_to=adapt_to,
                color_weight=color_weight,
                exact=exact,
            ),
        )

    def detect(
        self,
        picture: Picture,
        *,
        score_threshold: float = 0.3,
        labels: Sequence[str] = (),
        max_detections: int = 100,
    ) -> Detections:
        """The objects in a picture, of these labels where any are given; nothing is stored.

        Raises UnavailableError where there is no detector.
        """
        fields: dict[str, Field | None] = {
            "score_threshold": score_threshold,
            "labels": labels,
            "max_detections": max_detections,
        }
        return self._about("/v1/detections", picture, fields, Detections)

    def embed(self, picture: Picture, *, region: Region | None = None) -> Embedding:
        """The feature vector of a picture, or of a part of it; nothing is stored."""
        fields: dict[str, Field | None] = {"region": None if region is None else ",".join(map(str, region))}
        return self._about("/v1/embeddings", picture, fields, Embedding)

    def models(self) -> Models:
        """What is running there."""
        return self._get("/v1/models", Models)

    def _index_batch(
        self,
        batch: Sequence[NewPicture],
        metadata: Mapping[str, MetadataValue] | None,
        fields: Mapping[str, Field | None],
    ) -> list[Outcome]:
        batch = [new if new.metadata is not None else replace(new, metadata=metadata) for new in batch]
        read = runtime.in_thread(read_all, batch, self._max_picture_bytes)
        outcomes = {
            place: Outcome(picture=new.picture, status="failed", error=file)
            for place, (new, file) in enumerate(zip(batch, read, strict=True))
            if not isinstance(file, SentFile)
        }
        for are_urls in (False, True):
            files = {
                place: file
                for place, file in enumerate(read)
                if isinstance(file, SentFile) and isinstance(file.new.picture, Url) is are_urls
            }
            items = self._index_files(list(files.values()), fields) if files else []
            for (place, file), item in zip(files.items(), items, strict=True):
                outcomes[place] = Outcome.of(file.new.picture, item)
        return [outcomes[place] for place in range(len(batch))]

    def _index_files(self, files: Sequence[SentFile], fields: Mapping[str, Field | None]) -> list[BatchItem]:
        """An item for each file. Those that the service was too busy for are sent again."""
        items = self._index_together(files, fields)
        for pause in islice(pauses(), self._retries):
            busy = [place for place, item in enumerate(items) if item.problem and item.problem.status in TRY_AGAIN]
            if not busy:
                break
            runtime.sleep(pause)
            again = self._index_together([files[place] for place in busy], fields)
            for place, item in zip(busy, again, strict=True):
                items[place] = item
        return items

    def _index_together(self, files: Sequence[SentFile], fields: Mapping[str, Field | None]) -> list[BatchItem]:
        """An item for each file; those that are too many or too large together are sent by halves.

        All of them are URLs, or none is.
        """
        details = [file.new.details for file in files]
        request: dict[str, Any]
        if isinstance(files[0].new.picture, Url):
            items_at_urls = [{"url": file.new.picture, **each} for file, each in zip(files, details, strict=True)]
            given = {name: value for name, value in fields.items() if value is not None}
            request = {"json": {**given, "items": items_at_urls}}
        else:
            form = Form.of({**fields, "items": json.dumps(details) if any(details) else None}, "files", files)
            request = {"form": form}
        try:
            items = self._parsed(self._answered("POST", "/v1/images/batch", **request), BatchAnswer).results
        except ServiceError as error:
            if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            if len(files) == 1:
                return [BatchItem(status="failed", problem=error.problem)]
            half = len(files) // 2
            first = self._index_together(files[:half], fields)
            return [*first, *self._index_together(files[half:], fields)]
        if len(items) != len(files):
            raise NoServiceError(f"The service at {self.url} answers {len(items)} results for {len(files)} pictures.")
        return items

    def _about(
        self, path: str, picture: Picture, fields: Mapping[str, Field | None], kind: type[AnswerType]
    ) -> AnswerType:
        """The answer to an operation that takes a picture."""
        form = self._form_about(NewPicture(picture), fields)
        return self._parsed(self._answered("POST", path, form=form), kind)

    def _form_about(self, new: NewPicture, fields: Mapping[str, Field | None]) -> Form:
        if isinstance(new.picture, Url):
            return Form.of({**fields, "url": str(new.picture)}, "file", [])
        return Form.of(fields, "file", [runtime.in_thread(read_picture, new, self._max_picture_bytes)])

    def _get(self, path: str, kind: type[AnswerType], **query: str | float | None) -> AnswerType:
        given = {name: value for name, value in query.items() if value is not None}
        return self._parsed(self._answered("GET", path, params=given), kind)

    def _parsed(self, response: httpx.Response, kind: type[AnswerType]) -> AnswerType:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise NoServiceError(
                f"What answers at {self.url} is no Lookalike service, or one too old: {error}"
            ) from None

    def _answered(
        self,
        method: str,
        path: str,
        *,
        form: Form | None = None,
        repeatable: bool = True,
        **request: Any,  # noqa: ANN401
    ) -> httpx.Response:
        """The answer to a request that succeeds, perhaps not at once. Raises NoServiceError, ServiceError.

        One that is not `repeatable` is not sent again once it may have arrived.
        """
        may_have_arrived = False
        for attempt, pause in enumerate(pauses()):
            try:
                response = self._attempt(method, path, form=form, **request)
            except NoServiceError as error:
                may_have_arrived |= error.was_sent
                if attempt == self._retries or (error.was_sent and not repeatable):
                    raise
                wait = pause
            else:
                if response.is_success or (
                    # Removed by an attempt whose answer was lost.
                    method == "DELETE" and may_have_arrived and response.status_code == HTTPStatus.NOT_FOUND
                ):
                    return response
                wait = asked_pause(response.headers) or pause
                if response.status_code not in TRY_AGAIN or attempt == self._retries or wait > LONGEST_PAUSE:
                    raise error_of(problem_of(response))
            runtime.sleep(wait)
        raise AssertionError

    def _attempt(self, method: str, path: str, *, form: Form | None = None, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Whatever is answered. Raises NoServiceError."""
        if form is not None:
            request["content"] = runtime.streamed(form.segments)
            request["headers"] = {"Content-Type": form.content_type, "Content-Length": str(form.length)}
        try:
            return self._http.request(method, path, **request)
        except httpx.InvalidURL as error:
            detail = f"The request does not fit into an address ({error}): give a shorter filter."
            raise error_of(
                Problem(status=HTTPStatus.REQUEST_URI_TOO_LONG, code="uri_too_long", detail=detail)
            ) from error
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            failure = NoServiceError(f"No service answers at {self.url} ({reason}).")
            failure.was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            raise failure from error


def _path(name: Name) -> str:
    return f"/v1/images/{id_of(name)}"


def _called(name: Name) -> dict[str, Any]:
    """A request about an image by its name, so that what is said of it has the same name."""
    if isinstance(name, Key):
        return {"path": "/v1/images/by-key", "params": {"key": str(name)}}
    return {"path": _path(name)}


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


_NO_ARRANGEMENT = {"diversity": 0.0, "color_weight": 0.0, "exact": False}


def _arrangement(**given: str | float | None) -> dict[str, Any]:
    """What is not as by default: older services do not know these parameters."""
    return {name: value for name, value in given.items() if value not in {None, _NO_ARRANGEMENT.get(name)}}
