"""Counting callers."""

import pytest

from entrypoints.http.access.rate_limits import RateLimit, caller_at


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
    limit = RateLimit("1000/minute", most_windows=100)
    for number in range(1000):
        assert limit.count("faithful") is None
        limit.count(f"caller {number}")
        limit.count_once(f"caller {number}", "a guess")
    assert len(limit._windows) == 100
    assert limit.count("faithful") is not None


def test_a_window_begins_with_its_first_request_and_anew_after_its_end() -> None:
    clock = Clock()
    limit = RateLimit("1/minute", clock)
    assert limit.count("a") is None
    clock.now += 59
    assert (limit.count("a"), limit.used_up("a")) == (1, 1)
    clock.now += 1
    assert limit.used_up("a") is None
    clock.now += 59
    assert limit.count("a") is None
    assert limit.used_up("a") == 60


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
