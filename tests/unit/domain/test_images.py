import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain import images
from domain.images import Clock, id_of_content, sha256_of
from domain.names import id_of_key
from tests.builders import a_record, an_object


def test_ids_are_fixed_for_ever() -> None:
    sha256 = sha256_of(b"hat")
    assert sha256 == "18e1dd392168f601d0e568612a2bf40e6555c033e033b580ae6627d8aeee1150"
    assert id_of_content(sha256) == UUID("e2917d83-1d94-55c4-9d9a-7a9a7f09acf9")
    assert id_of_key("sku-17/front") == UUID("ebf10ff2-0e21-5d02-a928-29cf9a793edd")


def test_the_clock_never_stands_still() -> None:
    clock = Clock()
    times = [clock.now() for _ in range(1000)]
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert abs(datetime.now(UTC) - times[-1]) < timedelta(seconds=30)
    assert all(time.utcoffset() == timedelta(0) for time in times)


def test_the_clock_does_not_go_back_with_the_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards(datetime):
        seconds = 1_800_000_000

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            cls.seconds -= 1
            return datetime.fromtimestamp(cls.seconds, UTC)

    monkeypatch.setattr(images, "datetime", Backwards)
    clock = Clock()
    first, second, third = clock.now(), clock.now(), clock.now()
    assert (second - first, third - second) == (timedelta(microseconds=1), timedelta(microseconds=1))


def test_labels_are_those_of_the_objects() -> None:
    assert a_record(objects=(an_object("dog"), an_object("dog"), an_object("cat"))).labels == {"dog", "cat"}
    assert a_record().labels == frozenset()
