import re

import pytest

from domain import errors
from domain.errors import LookalikeError
from tests.builders import an_id


def all_subclasses(parent: type[LookalikeError]) -> set[type[LookalikeError]]:
    children = set(parent.__subclasses__())
    return children.union(*(all_subclasses(child) for child in children))


NAMED = {error for error in all_subclasses(LookalikeError) if error.__module__ == "domain.errors"}


def test_codes_are_unique_and_readable() -> None:
    codes = [error.code for error in {LookalikeError, *NAMED}]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", sorted(NAMED, key=lambda error: error.__name__))
def test_the_tree_in_the_docstring_is_the_tree(error: type[LookalikeError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    path: list[str] = []
    for line in lines:
        if found := re.match(r"( *)[*+-] (\w+)", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if found[2] == error.__name__:
                assert [base.__name__ for base in reversed(error.__mro__) if issubclass(base, LookalikeError)] == path
                return
    pytest.fail(f"{error.__name__} is not in the docstring of domain.errors")


def test_a_missing_image_is_named() -> None:
    error = errors.ImageNotFoundError([an_id(1), an_id(2)])
    assert error.names == (an_id(1), an_id(2))
    assert str(an_id(1)) in str(error)
    assert str(an_id(2)) in str(error)


def test_who_is_away_says_when_to_come_again() -> None:
    assert errors.BusyError("busy").retry_after > 0
    assert errors.BusyError("busy", retry_after=7).retry_after == 7
