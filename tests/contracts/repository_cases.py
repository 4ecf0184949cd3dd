"""What the suites of SimilarityRepository share: odd records, filters of every kind, and the exact answers."""

import random
from datetime import timedelta, timezone
from typing import Any

import numpy as np
from hypothesis import strategies as st

from adapters.repositories.in_memory import InMemorySimilarityRepository
from domain.embeddings import Embedding
from domain.filters import AnyOf, Condition, Exists, Field, Filter, HasWords, InRange, StartsWith
from domain.images import ImageId, ImageRecord, IndexedImage
from domain.metadata import MetadataType
from domain.names import words_of
from tests.builders import EPOCH, a_record, a_space, an_embedding, an_image, an_object, some_embeddings

SPACE = a_space(16)
OTHER_SPACE = a_space(8, model="other-model")
MICROSECOND = timedelta(microseconds=1)


def where(field: str, **test: Any) -> Filter:
    """`where("width", gte=10)`, `where("labels", eq="dog")`, `where("metadata.x", exists=True)`."""
    return Filter(all=(condition(field, **test),))


def condition(field: str, **test: Any) -> Condition:
    if "eq" in test:
        return AnyOf(Field(field), (test["eq"],))
    if "in_" in test:
        return AnyOf(Field(field), tuple(test["in_"]))
    if "exists" in test:
        return Exists(Field(field), test["exists"])
    return InRange(field=Field(field), **test)


def begins(field: str, prefix: str) -> Filter:
    return Filter(all=(StartsWith(Field(field), prefix),))


def words(text: str) -> Filter:
    return Filter(all=(HasWords(tuple(words_of(text))),))


LABELS_FACET = Field("labels"), MetadataType.KEYWORD

DECLARED = {
    "brand": MetadataType.KEYWORD,
    'quo"te': MetadataType.KEYWORD,
    "n": MetadataType.INTEGER,
    "sale": MetadataType.BOOL,
    "t": MetadataType.DATETIME,
}
"""Metadata keys that every repository under test has indexes for."""

ODD_KEYS = (
    "brand", "a.b", "a..b", ".", "with space", 'quo"te', '"', "it's", "back\\slash", "br[0]", "arr[]", "[]",
    "ключ", "100%", "metadata", "labels", "🙂", "日本", "a/b", "$x", "{}", "#", "k:v", "e\u0301", "\u00e9",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    "acme", "Acme", "ACME ", "", "1", "1.0", "true", "null", "[]", "naïve 🙂", "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00.000001+01:00", "2025-12-31t23:59:59z", "2026-13-01T00:00:00Z", "2026-01-01",
    "550e8400-e29b-41d4-a716-446655440000", 0, 1, 1.0, 2, -3, 2.5, 0.1, 19.99, 2**53 - 1, -(2**53) + 1, 1e300, 5e-324,
    True, False, [], ["acme"], ["a", "b"], [""], ["1", "true"], ["Acme", "acme"],
)  # fmt: skip
LABELS = ("dog", "cat", "Dog", "traffic light", "")
KEYS = (
    None,
    "a",
    "a/b",
    "A/b",
    "a/b c_d.jpg",
    "%",
    "\U0001f642/x",
    "stra\u00dfe/\ufb01 1",
    "\u65e5\u672c/\u0915\u093f \u0130",
)
SOURCES = (None, "/mnt/a", "https://example.org/a/b?c=1", "x")
FILENAMES = ("a.jpg", "A.jpg", "", "x/y.png", "ünï 🙂.jpg", "100%.gif", 'quo"te.jpg')
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")
SIDES = (1, 2, 640, 641, 30_000)
TIMES = tuple(
    EPOCH + timedelta(seconds=second) + MICROSECOND * micro for second in (0, 1) for micro in (0, 1, 2, 999_999)
)


def the_zoo() -> list[ImageRecord]:
    """Records that combine every odd value with every other often enough."""
    chance = random.Random(7)
    return [
        a_record(
            number,
            key=chance.choice(KEYS),
            source=chance.choice(SOURCES),
            filename=chance.choice(FILENAMES),
            media_type=chance.choice(MEDIA_TYPES),
            width=chance.choice(SIDES),
            height=chance.choice(SIDES),
            size_bytes=chance.choice(SIDES),
            created_at=chance.choice(TIMES),
            updated_at=chance.choice(TIMES),
            metadata={key: chance.choice(VALUES) for key in chance.sample(ODD_KEYS, chance.randrange(13))},
            objects=tuple(an_object(label) for label in chance.choices(LABELS, k=chance.randrange(4))),
        )
        for number in range(60)
    ]


ZOO = the_zoo()

_scalars = st.sampled_from([value for value in VALUES if not isinstance(value, list)])
_numbers = st.sampled_from(
    [value for value in VALUES if isinstance(value, int | float) and not isinstance(value, bool)]
)
_times = st.sampled_from(TIMES).flatmap(
    lambda time: st.sampled_from([time, time - MICROSECOND, time.astimezone(timezone(timedelta(hours=5, minutes=30)))])
)
_keys = st.sampled_from([f"metadata.{key}" for key in (*ODD_KEYS, "absent")])


def _any_of(fields: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Condition]:
    return st.builds(lambda field, some: AnyOf(Field(field), tuple(some)), fields, st.lists(values, max_size=3))


def _in_range(fields: st.SearchStrategy[str], bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Condition]:
    names = st.sets(st.sampled_from(["gt", "gte", "lt", "lte"]), min_size=1, max_size=2)
    tests = names.flatmap(lambda chosen: st.fixed_dictionaries(dict.fromkeys(sorted(chosen), bounds)))
    return st.builds(lambda field, test: InRange(field=Field(field), **test), fields, tests)


conditions: st.SearchStrategy[Condition] = st.one_of(
    _any_of(_keys, _scalars),
    _any_of(st.just("labels"), st.sampled_from(LABELS)),
    _any_of(st.just("filename"), st.sampled_from(FILENAMES)),
    _any_of(st.just("media_type"), st.sampled_from(MEDIA_TYPES)),
    _any_of(st.sampled_from(["key", "source"]), st.sampled_from([each for each in (*KEYS, *SOURCES) if each])),
    _any_of(st.just("sha256"), st.sampled_from([record.sha256 for record in ZOO[:3]])),
    _any_of(st.sampled_from(["width", "height", "size_bytes"]), st.sampled_from((*SIDES, 640.0, 640.5))),
    _any_of(st.sampled_from(["created_at", "updated_at"]), _times),
    _in_range(_keys, _numbers),
    _in_range(_keys, _times),
    _in_range(st.sampled_from(["width", "height", "size_bytes"]), st.sampled_from((*SIDES, 640.5))),
    _in_range(st.sampled_from(["created_at", "updated_at"]), _times),
    st.builds(
        lambda field, expected: Exists(Field(field), expected),
        st.one_of(_keys, st.sampled_from(["labels", "key", "source", "filename", "width", "created_at"])),
        st.booleans(),
    ),
    st.builds(
        StartsWith,
        st.sampled_from([Field(name) for name in ("key", "source", "filename", "metadata.brand", 'metadata.quo"te')]),
        st.sampled_from(["", "a", "a/", "A", "ac", "1", "x", "\U0001f642", "stra\u00df", "%", "\ud800", "zzz"]),
    ),
    st.builds(
        HasWords,
        st.lists(
            st.sampled_from(
                ["a", "b", "strasse", "stra", "fi", "1", "jpg", "\u65e5", "\u0915\u093f", "x", "example", "\ud800"]
            ),
            max_size=3,
        ).map(tuple),
    ),
)
filters = st.builds(
    lambda all_, any_, none: Filter(all=tuple(all_), any=tuple(any_), none=tuple(none)),
    st.lists(conditions, max_size=2),
    st.lists(conditions, max_size=3),
    st.lists(conditions, max_size=2),
)


def ids(matches: Any) -> list[ImageId]:
    return [match.image.id for match in matches]


def scores_of(matches: Any) -> list[float]:
    return [match.score for match in matches]


def at_cosine(cosine: float) -> Embedding:
    """A unit vector at this cosine to the first axis."""
    vector = np.zeros(16, dtype=np.float32)
    vector[:2] = cosine, (1.0 - cosine**2) ** 0.5
    return vector


def with_copies() -> list[IndexedImage]:
    """103 images, and 40 copies of one of them in between: the same embedding and the same objects."""

    def of(number: int, seed: int) -> IndexedImage:
        return an_image(
            number,
            embedding=an_embedding(seed),
            objects=tuple(an_object(f"label {index}") for index in range(1 + seed % 3)),
            object_embeddings=some_embeddings(1 + seed % 3, seed=1_000 + seed),
        )

    images = [of(number, number) for number in range(103)] + [of(number, 7) for number in range(200, 240)]
    random.Random(5).shuffle(images)
    return images


async def an_oracle(images: list[IndexedImage]) -> InMemorySimilarityRepository:
    oracle = InMemorySimilarityRepository()
    await oracle.open(SPACE)
    await oracle.upsert(images)
    return oracle
