import pytest

from adapters.detectors.null_object_detector import NullObjectDetector
from domain.errors import DetectorUnavailableError, Remedy
from tests.contracts.object_detector import noise


async def test_it_says_that_there_is_no_detector_open_or_not() -> None:
    detector = NullObjectDetector()
    with pytest.raises(DetectorUnavailableError, match="no object detector") as caught:
        await detector.detect([noise(4, 4)], score_threshold=0.3)
    assert caught.value.remedy is Remedy.INSTALL_OR_CHOOSE_A_DETECTOR
    await detector.open()
    with pytest.raises(DetectorUnavailableError, match="no object detector"):
        await detector.detect([], score_threshold=0.3)
    assert detector.description is None
    assert list(detector.labels) == []
    await detector.close()
    await detector.close()
