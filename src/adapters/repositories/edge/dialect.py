"""The embedded engine's filters and payload indexes."""

from collections.abc import Collection
from uuid import UUID

import qdrant_edge as engine

from adapters.repositories.filter_compiler import FilterDialect
from adapters.repositories.object_payload import Generation
from adapters.repositories.payload import (
    GENERATION,
    KIND,
    KIND_IMAGE,
    KIND_OBJECT,
    OBJECT_IMAGE,
    PayloadIndex,
    PayloadIndexKind,
)

EDGE = FilterDialect(
    every=lambda must, must_not: engine.Filter(must=list(must), must_not=list(must_not)),
    some=lambda conditions: engine.Filter(should=list(conditions)),
    text_in=lambda path, texts: engine.FieldCondition(path, match=engine.MatchAny(list(texts))),
    integer_in=lambda path, integers: engine.FieldCondition(path, match=engine.MatchAny(list(integers))),
    between=lambda path, low, high: engine.FieldCondition(path, range=engine.RangeFloat(gte=low, lte=high)),
    empty=engine.IsEmptyCondition,
    ids=lambda ids: engine.HasIdCondition(set(ids)),
)

_SCHEMAS = {
    PayloadIndexKind.KEYWORD: engine.PayloadSchemaType.Keyword,
    PayloadIndexKind.INTEGER: engine.PayloadSchemaType.Integer,
}


def create_index(index: PayloadIndex) -> engine.UpdateOperation:
    """The operation that creates a payload index."""
    return engine.UpdateOperation.create_field_index(index.path, _SCHEMAS[index.kind])


def images_with_objects(ids: Collection[UUID]) -> engine.Filter:
    """Passes the points of these images and of their objects, orphans among them."""
    images = EDGE.every([EDGE.ids(ids), EDGE.text_in(KIND, [KIND_IMAGE])], [])  # a caller may ask for an object's id
    return EDGE.some([images, _objects_of(ids)])  # type: ignore[no-any-return]


def objects_of_other_generations(images: Collection[UUID], generations: Collection[Generation]) -> engine.Filter:
    """Passes the points of objects of these images that are of none of these generations."""
    names = [generation.name for generation in generations]
    must_not = [EDGE.text_in(GENERATION, names)] if names else []
    return EDGE.every([_objects_of(images)], must_not)  # type: ignore[no-any-return]


def all_objects() -> engine.Filter:
    """Passes every object's point."""
    return EDGE.every([EDGE.text_in(KIND, [KIND_OBJECT])], [])  # type: ignore[no-any-return]


def _objects_of(images: Collection[UUID]) -> engine.FieldCondition:
    return EDGE.text_in(OBJECT_IMAGE, [str(id_) for id_ in images])  # type: ignore[no-any-return]
