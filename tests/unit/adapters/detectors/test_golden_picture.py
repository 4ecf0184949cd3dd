from adapters.detectors.golden_picture import agree
from domain.images import DetectedObject
from tests.builders import box

CUP = DetectedObject(label="cup", score=0.96, box=box(10, 10, 60, 60))
BOWL = DetectedObject(label="bowl", score=0.77, box=box(5, 20, 80, 90))
TABLE = DetectedObject(label="dining table", score=0.55, box=box(0, 0, 200, 200))
FAINT = DetectedObject(label="spoon", score=0.12, box=box(100, 100, 120, 110))
CAT = DetectedObject(label="cat", score=0.6, box=box(100, 10, 180, 90))
REFERENCE = [CUP, BOWL, TABLE]


def test_the_same_objects_agree_whatever_is_faint_besides() -> None:
    assert agree(REFERENCE, REFERENCE)
    assert agree(REFERENCE, [*REFERENCE, FAINT])


def test_clear_objects_that_are_lost_do_not_agree() -> None:
    assert not agree(REFERENCE, [CUP])
    assert not agree(REFERENCE, [])


def test_clear_objects_that_are_not_there_do_not_agree() -> None:
    dog = DetectedObject(label="dog", score=0.5, box=box(20, 100, 90, 180))
    assert not agree(REFERENCE, [*REFERENCE, CAT, dog])
