"""Numbers, times and texts in payloads, and their paths, so that they read back exactly and filter exactly.

Qdrant keeps payloads as JSON and reads numbers of 16 and 17 digits back a little off, and further at each optimization:
of 3 million doubles of all sizes a quarter moved, one by 98. Its integer indexes drop fractions; its embedded binding
takes `true` for 1. So a record's free parts (metadata, objects) are stored as JSON text of our own, and what filters
compare is laid out beside them in strings and in integers below 2^53: a metadata number as canonical text, which is
equal where the numbers are, and as two integers, which are ordered as the numbers are. A metadata time, which may be of
any year, is two integers as well.
"""

import math
import struct
import sys
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def metadata_path(key: str) -> str:
    """The JSON path of a metadata value. Quoted, so that dots and brackets in a key are no syntax."""
    return f'metadata."{escaped(key)}"'


def parts_paths(key: str, *, is_of_times: bool) -> tuple[str, str]:
    """The JSON paths of the `parts` of a metadata number, or of the time that a text says."""
    of_key = f'{"metadata_times" if is_of_times else "metadata_numbers"}."{escaped(key)}"'
    return f"{of_key}.coarse", f"{of_key}.fine"


def number_text_path(key: str) -> str:
    """The JSON path of the `number_text` of a metadata number."""
    return f'metadata_numbers."{escaped(key)}".text'


FINEST = 2**11 - 1
"""The greatest fine part."""


def parts(place: int) -> tuple[int, int]:
    """Two integers below 2^53, the coarse one first, that are ordered as the places (or microseconds) are."""
    return divmod(place, FINEST + 1)


def number_place(number: float) -> int:
    """A number's place among all doubles, whose bits order them: equal where the numbers are, and in their order."""
    bits: int = struct.unpack(">q", struct.pack(">d", number))[0]
    return bits if bits >= 0 else -(bits + 2**63)


NUMBER_PLACES = number_place(-math.inf), number_place(sys.float_info.max)
"""The place before all finite doubles, and that of the last one."""


def number_text(number: float) -> str:
    """The same text for numbers that are equal, another for others. Metadata integers are exact as doubles."""
    return repr(float(number) + 0.0)  # -0.0 + 0.0 is 0.0


def microseconds(moment: datetime) -> int:
    """Whole microseconds from the epoch: exact in order and in ranges (below 2^53 until the year 2255)."""
    return (moment - _EPOCH) // _MICROSECOND


def time_of(micros: int) -> datetime:
    """The time of so many microseconds from the epoch."""
    return _EPOCH + micros * _MICROSECOND


def escaped(key: str) -> str:
    """`key` without what a quoted JSON path cannot hold; different keys stay different."""
    return key.replace("%", "%25").replace('"', "%22").replace("\\", "%5C")
