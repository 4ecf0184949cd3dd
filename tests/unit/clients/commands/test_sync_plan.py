"""Which pictures have got other keys, told by what has gone and what has come."""

from pathlib import Path

import pytest

from lookalike_client.commands.files import Found
from lookalike_client.commands.syncing import watching
from lookalike_client.commands.syncing.plan import File, renamings
from lookalike_client.commands.syncing.watching import Settling

Keys = dict[str, str]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": "A"}, {"b": "A"}, [("a", "b")], id="one"),
        pytest.param({"a": "A", "b": "B"}, {"b": "A", "c": "B"}, [("b", "c"), ("a", "b")], id="chain"),
        pytest.param(
            {"a": "A", "b": "B", "c": "C"},
            {"b": "A", "c": "B", "d": "C"},
            [("c", "d"), ("b", "c"), ("a", "b")],
            id="long",
        ),
        pytest.param({"a": "A", "b": "B"}, {"a": "B", "b": "A"}, [], id="a swap is two replacements"),
        pytest.param({"a": "A"}, {"a": "X", "b": "A"}, [], id="copied, then edited"),
        pytest.param({"a": "A", "b": "B"}, {"b": "A"}, [], id="moved over another"),
        pytest.param({"a": "A"}, {"a": "A", "b": "A"}, [], id="a copy"),
        pytest.param(
            {"x/1": "A", "y/1": "A"}, {"p/1": "A", "y/2": "A"}, [("x/1", "p/1"), ("y/1", "y/2")], id="the nearest"
        ),
    ],
)
def test_renamings_are_found_in_an_order_that_works(before: Keys, after: Keys, expected: list[tuple[str, str]]) -> None:
    gone = {key: sha256 for key, sha256 in before.items() if key not in after}
    replaced = {key: sha256 for key, sha256 in before.items() if after.get(key, sha256) != sha256}
    wanted = {key: sha256 for key, sha256 in after.items() if before.get(key) != sha256}

    assert renamings(gone, replaced, wanted) == expected

    there = dict(before)
    for key, new in expected:
        assert new not in there
        there[new] = there.pop(key)


def test_a_file_is_complete_once_it_has_not_changed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])

    def file(name: str, size: int) -> File:
        return File(Found(Path(name), size=size, mtime_ns=1), name, name)

    settling = Settling()
    assert (settling([file("a", 1), file("b", 1)]), settling.is_waiting) == (set(), True)
    now[0] += watching.SETTLE_SECONDS
    assert settling([file("a", 1), file("b", 2)]) == {file("a", 1)}
    assert settling.is_waiting
    now[0] += watching.SETTLE_SECONDS
    assert (settling([file("b", 2)]), settling.is_waiting) == ({file("b", 2)}, False)
