"""What runs, and what models say of a picture."""

from collections.abc import Mapping
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from application.detect_objects import Detections
from application.run_service import ServiceDescription
from domain.metadata import MetadataType
from domain.models import ModelDescription
from domain.scores import LEAST_LIKENESS, LikenessScale
from entrypoints.http.contract.image_schemas import EXAMPLE_BOX, FromDomain, ObjectOut


class SizeOut(FromDomain):
    """Pixels."""

    width: int
    height: int


class EmbeddingOut(BaseModel):
    """An L2-normalised feature vector."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "tf_efficientnet_lite1", "dimension": 3, "embedding": [0.6, 0.0, 0.8]}]
        }
    )

    model: str
    dimension: int
    embedding: list[float]


class ModelOut(BaseModel):
    """A model as it runs."""

    model: str
    weights_digest: Annotated[str, Field(description="SHA-256 of the checkpoint that the weights come from.")]
    runtime: str
    device: str
    precision: str
    input_size: SizeOut

    @classmethod
    def of(cls, model: ModelDescription, **more: Any) -> Self:  # noqa: ANN401 - what a subclass adds
        """From the domain."""
        shared = {name: getattr(model, name) for name in ModelOut.model_fields if name != "input_size"}
        return cls(**shared, input_size=SizeOut(width=model.input_width, height=model.input_height), **more)


class BandsOut(BaseModel):
    """The cosine similarities from which matches are in a band."""

    alike: float
    very_alike: float

    @classmethod
    def of(cls, scale: LikenessScale) -> Self:
        """From the domain."""
        return cls(**{band: scale.score(least) for band, least in LEAST_LIKENESS.items()})


class ScalesOut(BaseModel):
    """Bands of whole pictures and of objects."""

    images: BandsOut
    objects: BandsOut


class EncoderOut(ModelOut):
    """The encoder as it runs, and the embedding space that it makes."""

    dimension: int
    preprocessing: str
    decode_version: int
    space: Annotated[str, Field(description="Fingerprint of the embedding space that the index is bound to.")]
    bands: Annotated[
        ScalesOut | None,
        Field(description="null: it is not known how unrelated pictures score, so matches have no likeness."),
    ]


class RepositoryOut(FromDomain):
    """The index as it stands."""

    backend: str
    images: int
    objects: int
    details: Mapping[str, str | int | float | bool]


class ModelsOut(BaseModel):
    """What is running."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "encoder": {
                        "model": "tf_efficientnet_lite1",
                        "weights_digest": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
                        "runtime": "openvino",
                        "device": "cpu",
                        "precision": "int8",
                        "input_size": {"width": 320, "height": 320},
                        "dimension": 512,
                        "preprocessing": "letterbox on white, 320x320, bicubic (reducing gap 2), mean 0.5,0.5,0.5, "
                        "std 0.5,0.5,0.5, gem p=3",
                        "decode_version": 2,
                        "space": "80ac1b5ceb7d0fa1",
                        "bands": {
                            "images": {"alike": 0.35, "very_alike": 0.675},
                            "objects": {"alike": 0.45, "very_alike": 0.725},
                        },
                    },
                    "detector": {
                        "model": "ssd_mobilenet_v2_coco",
                        "weights_digest": "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
                        "runtime": "openvino",
                        "device": "cpu",
                        "precision": "bf16",
                        "input_size": {"width": 300, "height": 300},
                    },
                    "index_id": "0b9a7a53-3f0e-4d50-a7f0-4f9f7f0c2f1e",
                    "repository": {"backend": "edge", "images": 100, "objects": 240, "details": {"segments": 2}},
                    "metadata_types": {"brand": "keyword", "price": "float"},
                }
            ]
        }
    )

    encoder: EncoderOut
    detector: Annotated[ModelOut | None, Field(description="null: this deployment runs no object detector.")]
    index_id: Annotated[UUID, Field(description="The index's own id: one that is made anew has another.")]
    repository: RepositoryOut
    metadata_types: Annotated[
        Mapping[str, MetadataType],
        Field(description="The metadata keys that `LOOKALIKE_REPOSITORY__INDEXED_METADATA` declares."),
    ]

    @classmethod
    def of(cls, service: ServiceDescription) -> Self:
        """From the use case."""
        space = service.space
        return cls(
            encoder=EncoderOut.of(
                service.encoder,
                dimension=space.dimension,
                preprocessing=space.preprocessing,
                decode_version=space.decode_version,
                space=space.fingerprint,
                bands=None
                if service.likeness is None
                else ScalesOut(
                    images=BandsOut.of(service.likeness.images), objects=BandsOut.of(service.likeness.objects)
                ),
            ),
            detector=None if service.detector is None else ModelOut.of(service.detector),
            index_id=service.index_id,
            repository=RepositoryOut.of(service.repository),
            metadata_types=service.metadata_types,
        )


class DetectionsOut(BaseModel):
    """The objects in a picture, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "ssd_mobilenet_v2_coco",
                    "image": {"width": 640, "height": 427},
                    "detections": [{"label": "cat", "score": 0.93, "box": EXAMPLE_BOX}],
                }
            ]
        }
    )

    model: str
    image: SizeOut
    detections: list[ObjectOut]

    @classmethod
    def of(cls, found: Detections) -> Self:
        """From the use case."""
        return cls(model=found.model, image=SizeOut.of(found), detections=found.objects)


class HealthOut(BaseModel):
    """`ok` or `ready`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: str
