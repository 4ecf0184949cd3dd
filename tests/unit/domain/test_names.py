import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidKeyError, InvalidSourceError
from domain.names import MAX_BYTES, checked_key, checked_source, id_of, id_of_key, words_of


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=600))
def test_any_text_without_control_characters_is_a_key(text: str) -> None:
    key = checked_key(text)
    assert key == unicodedata.normalize("NFC", text)
    assert checked_key(key) == key
    assert id_of(key) == id_of_key(key)


@given(st.text(max_size=600))
def test_a_key_is_refused_or_can_be_stored(text: str) -> None:
    try:
        key = checked_key(text)
    except InvalidKeyError:
        return
    assert 1 <= len(key.encode()) <= MAX_BYTES
    assert not any(unicodedata.category(character) == "Cc" for character in key)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("k" * 2049, "2,049 bytes"),
        ("ü" * 1025, "2,050 bytes"),
        ("a\0b", "U\\+0000"),
        ("a\x85b", "U\\+0085"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_what_is_no_key_is_named(text: str, says: str) -> None:
    with pytest.raises(InvalidKeyError, match=says):
        checked_key(text)
    with pytest.raises(InvalidSourceError, match=says):
        checked_source(text)


def test_composing_may_make_room() -> None:
    decomposed = unicodedata.normalize("NFD", "ü") * 800  # 2,400 bytes, of which 1,600 are left
    assert len(checked_key(decomposed).encode()) == 1600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("-- / . _", []),
        ("Holidays/2019/IMG_0042 (Strand).JPG", ["holidays", "2019", "img", "0042", "strand", "jpg"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("\ufb01ne \uff26\uff55\uff4c\uff4c \u2460", ["fine", "full", "1"]),
        ("e\u0301té ÉTÉ", ["\u00e9t\u00e9", "\u00e9t\u00e9"]),
        ("हिन्दी日本 İx", ["हिन्दी日本", "i\u0307x"]),
        ("🙂a🙂", ["a"]),
    ],
)
def test_words_are_runs_of_letters_marks_and_digits(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(max_size=60))
def test_words_of_words_are_themselves(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words
