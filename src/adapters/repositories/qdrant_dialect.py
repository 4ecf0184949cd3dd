"""The Qdrant client's filters."""

from qdrant_client import models

from adapters.repositories.filter_compiler import FilterDialect

QDRANT = FilterDialect(
    every=lambda must, must_not: models.Filter(must=list(must), must_not=list(must_not)),
    some=lambda conditions: models.Filter(should=list(conditions)),
    text_in=lambda path, texts: models.FieldCondition(key=path, match=models.MatchAny(any=list(texts))),
    integer_in=lambda path, integers: models.FieldCondition(key=path, match=models.MatchAny(any=list(integers))),
    between=lambda path, low, high: models.FieldCondition(key=path, range=models.Range(gte=low, lte=high)),
    empty=lambda path: models.IsEmptyCondition(is_empty=models.PayloadField(key=path)),
    ids=lambda ids: models.HasIdCondition(has_id=[str(id_) for id_ in ids]),
)
