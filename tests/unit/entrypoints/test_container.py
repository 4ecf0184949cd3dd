import logging
from pathlib import Path

import pytest

from adapters.detectors import bundled_detector
from entrypoints.container import Container
from entrypoints.settings import Settings


def test_without_the_packaged_weights_there_is_no_detector_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bundled_detector, "bundled_weights", lambda: None)
    container = Container(settings=Settings(data_dir=tmp_path, models_dir=tmp_path))
    with caplog.at_level(logging.WARNING):
        assert container.detector().description is None
    assert ".[bundled]" in caplog.text


def test_a_detector_that_is_named_runs_without_the_packaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_detector, "bundled_weights", lambda: None)
    exported = {"model": str(tmp_path / "exported")}
    container = Container(settings=Settings(data_dir=tmp_path, models_dir=tmp_path, detector=exported))
    assert type(container.chosen_detector()).__name__ == "OpenVinoObjectDetector"


def test_what_was_prepared_at_installation_is_a_packaged_detector_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_detector, "bundled_weights", lambda: None)
    (tmp_path / bundled_detector.MODEL).mkdir()
    container = Container(settings=Settings(data_dir=tmp_path, models_dir=tmp_path))
    assert type(container.chosen_detector()).__name__ == "OpenVinoObjectDetector"


def test_the_settings_make_the_policy_of_objects(tmp_path: Path) -> None:
    objects = {"enabled": False, "min_score": 0.6, "min_area": 0.1, "max_per_image": 3, "padding": 0.2}
    container = Container(settings=Settings(data_dir=tmp_path, objects=objects))
    policy = container.policy()
    assert (policy.enabled, policy.min_score, policy.min_area) == (False, 0.6, 0.1)
    assert (policy.max_objects, policy.padding) == (3, 0.2)


def test_use_cases_share_what_is_one(tmp_path: Path) -> None:
    container = Container(settings=Settings(data_dir=tmp_path, repository={"backend": "memory"}))
    index, delete, edit, search = (
        container.index_images(),
        container.delete_images(),
        container.edit_metadata(),
        container.search_similar(),
    )
    assert index.repository is delete.repository is edit.repository is search.repository
    assert index.locks is delete.locks is edit.locks
    assert index.originals.store is delete.originals.store is container.browse_images().store
    assert index.prepare.describe.encoder is search.encoder is container.run_service().encoder
    detect, anew = container.detect_objects(), container.reindex_objects()
    detector = container.run_service().detector
    assert index.prepare.describe.detector is search.detector is detect.detector is anew.describe.detector is detector
    assert anew.locks is index.locks
    assert anew.describe.policy is index.prepare.describe.policy
    assert container.index_images().clock is index.clock


def test_two_deployments_share_nothing(tmp_path: Path) -> None:
    one, other = (Container(settings=Settings(data_dir=tmp_path, repository={"backend": "memory"})) for _ in range(2))
    for name in ("repository", "encoder", "detector", "store", "locks", "clock"):
        assert one.providers[name]() is not other.providers[name](), name
