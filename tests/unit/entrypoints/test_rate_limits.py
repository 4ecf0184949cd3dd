"""Counting callers."""

import pytest

from entrypoints.http.access.rate_limits import BoundedStorage, RateLimit, caller_at


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_caller_may_come_so_often_and_then_waits_for_the_window_to_end() -> None:
    clock = Clock()
    limit = RateLimit("3/minute", clock)
    assert [limit.count("a") for _ in range(3)] == [None, None, None]
    clock.now += 20.5
    assert limit.count("a") == 40  # 39.5 s, and no sooner
    assert limit.count("b") is None
    clock.now += 39.5
    assert limit.count("a") is None


def test_of_several_limits_the_longest_wait_is_told() -> None:
    clock = Clock()
    limit = RateLimit("2/second;3/hour", clock)
    assert [limit.count("a") for _ in range(3)] == [None, None, 1]
    clock.now += 2
    assert limit.count("a") == 3598


def test_no_limit_counts_nothing() -> None:
    limit = RateLimit("")
    assert [limit.count("a") for _ in range(1000)] == [None] * 1000
    assert limit.used_up("a") is None


def test_asking_does_not_count() -> None:
    limit = RateLimit("1/minute")
    assert [limit.used_up("a") for _ in range(5)] == [None] * 5
    limit.count("a")
    assert limit.used_up("a") is not None


def test_what_is_shown_again_is_counted_once() -> None:
    limit = RateLimit("2/minute")
    for _ in range(100):
        limit.count_once("a", "the key of yesterday")
    assert limit.used_up("a") is None
    limit.count_once("b", "a guess")
    assert limit.used_up("a") is None
    limit.count_once("a", "a guess")
    assert limit.used_up("a") is not None


def test_no_number_of_callers_makes_it_grow_and_who_came_last_is_remembered() -> None:
    storage = BoundedStorage(most=100)
    for number in range(1000):
        storage.incr("faithful", 60)
        storage.incr(f"caller {number}", 60)
    assert storage.get("faithful") == 1000
    assert storage.get("caller 0") == 0
    assert storage.reset() == 100


def test_storage_keeps_to_the_library_s_contract() -> None:
    clock = Clock()
    storage = BoundedStorage(clock=clock)
    assert (storage.incr("a", 10), storage.incr("a", 10, amount=2), storage.get("a")) == (1, 3, 3)
    assert storage.get_expiry("a") == clock.now + 10  # the first hit's, whatever came after
    clock.now += 10
    assert (storage.get("a"), storage.get_expiry("a")) == (0, clock.now)
    storage.incr("b", 10)
    storage.clear("b")
    assert storage.get("b") == 0
    assert storage.check()


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x" * 1000, "x" * 64),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_callers_are_counted_by_address_or_by_network(host: str | None, counted: str) -> None:
    assert caller_at(host) == counted
