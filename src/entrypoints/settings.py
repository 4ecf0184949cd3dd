"""Every setting there is: the only reader of the environment."""

import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from unicodedata import normalize

from dotenv import dotenv_values
from limits import parse_many
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.errors import ConfigurationError, InvalidInputError
from domain.exif import ExifPart, parse_exif_parts
from domain.metadata import MetadataType
from entrypoints.keys import ApiKey, parse_keys
from lookalike_client.public_addresses import allowed_host

PREFIX = "LOOKALIKE_"
MEBIBYTE = 1024 * 1024

LEAST_SECRET_LENGTH = 32
"""Characters of a secret that signs: guesses can be tried out on one link, without asking the service."""

OWN_SEGMENTS = frozenset(
    {"v1", "health", "metrics", "docs", "redoc", "openapi.json", "static-offline-docs", "session", "assets"}
)
"""The first segments of our own routes' paths."""

_ORIGIN = re.compile(r"https?://[^/\s,*@?#]+")


def _refuse_empty(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is empty: give it a value, or leave it out altogether")
    return value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(normalize("NFC", part.strip()) for part in value.split(",") if part.strip())


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Texts with a comma between them, in Unicode's normal form C, as keys of metadata are."""

NotEmpty = BeforeValidator(_refuse_empty)
"""For settings that mean something else when empty than when not set: `${VARIABLE:-}` in a compose file is empty."""

NamedPath = Annotated[Path, NotEmpty]
"""An empty path would be the working directory."""


class Section(BaseModel):
    """A group of settings; unknown names in it are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HttpSettings(Section):
    """Where the service listens, and how much it takes."""

    host: Annotated[str, NotEmpty] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 25 * MEBIBYTE
    max_batch_bytes: Annotated[int, Field(ge=1024)] = 512 * MEBIBYTE
    max_batch_files: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_bytes_in_flight: Annotated[int, Field(ge=1024)] = 1024 * MEBIBYTE
    deadline_seconds: Annotated[float, Field(ge=0)] = 60.0
    body_seconds: Annotated[float, Field(ge=0)] = 20.0
    body_bytes_per_second: Annotated[int, Field(ge=1)] = 32 * 1024
    root_path: str = ""
    shutdown_seconds: Annotated[int, Field(ge=1)] = 20
    shutdown_notice_seconds: Annotated[float, Field(ge=0)] = 0.0
    trusted_proxies: CommaSeparated = ("127.0.0.1", "::1")
    tls_certificate: NamedPath | None = None
    tls_key: NamedPath | None = None
    hsts_seconds: Annotated[int, Field(ge=0)] = 0
    cors_origins: CommaSeparated = ()

    @field_validator("root_path")
    @classmethod
    def _normalise_root_path(cls, value: str) -> str:
        path = value.strip("/")
        if (first := path.partition("/")[0]) in OWN_SEGMENTS:
            raise ValueError(f"/{first} is a path of the service itself: serve it under another, such as /lookalike")
        return f"/{path}" if path else ""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for given in value:
            try:
                ip_network(given)
            except ValueError:
                raise ValueError(
                    f"{given!r} is no address and no network: write 10.0.0.1 or 172.16.0.0/12. (There is no wildcard: "
                    "a trusted proxy decides from which address a caller seems to come.)"
                ) from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for given in value:
            if given != "*" and not _ORIGIN.fullmatch(given):
                raise ValueError(f"{given!r} is no origin: write https://app.example.org, without a path, or *")
        return value

    @model_validator(mode="after")
    def _key_goes_with_certificate(self) -> Self:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("LOOKALIKE_HTTP__TLS_KEY needs LOOKALIKE_HTTP__TLS_CERTIFICATE")
        return self

    @model_validator(mode="after")
    def _notice_leaves_time_to_answer(self) -> Self:
        if self.shutdown_notice_seconds >= self.shutdown_seconds:
            raise ValueError(
                f"LOOKALIKE_HTTP__SHUTDOWN_NOTICE_SECONDS={self.shutdown_notice_seconds:g} leaves nothing of "
                f"LOOKALIKE_HTTP__SHUTDOWN_SECONDS={self.shutdown_seconds}, of which it is a part"
            )
        return self


class DecodeSettings(Section):
    """The limits of the decode contract, the memory that decoded pictures may take together, and where it happens.

    `isolated`: in processes of their own, which end after `max_seconds` of processor time over the largest picture.
    """

    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    max_side: Annotated[int, Field(ge=1)] = 30_000
    max_bytes_in_flight: Annotated[int, Field(ge=1024)] = 256 * MEBIBYTE
    max_bytes_at_once: Annotated[int, Field(ge=1024)] = 48 * MEBIBYTE
    threads: Annotated[int, Field(ge=0)] = 0
    isolated: bool = os.name == "posix"
    max_seconds: Annotated[float, Field(gt=0)] = 4.5


def _require_torch(section: Section, prefix: str, names: Sequence[str], *, instead: str) -> None:
    """Raise ValueError if one of these settings is not at its default, though the runtime is not torch.

    It would have no effect, and a digest that is never compared is worse than none. A default may be handed on, by a
    compose file, say.
    """
    fields = type(section).model_fields
    if given := [name for name in names if getattr(section, name) != fields[name].default]:
        variables = ", ".join(f"{prefix}{name.upper()}" for name in given)
        raise ValueError(f"only {prefix}RUNTIME=torch takes {variables}: choose it, or leave that out and {instead}")


class EncoderSettings(Section):
    """The model that makes embeddings, and what runs it."""

    runtime: Literal["openvino", "torch"] = "openvino"
    model: str = "tf_efficientnet_lite1"
    device: str = "cpu"
    precision: Literal["auto", "f32", "bf16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    checkpoint: NamedPath | None = None
    checkpoint_sha256: str | None = None
    revision: str | None = None
    input_size: Annotated[int, Field(ge=32, le=2048)] | None = None
    pooling: Literal["auto", "gem", "gem_quarters", "model"] = "auto"

    @model_validator(mode="after")
    def _only_torch_chooses_weights(self) -> Self:
        if self.runtime != "torch":
            _require_torch(
                self,
                f"{PREFIX}ENCODER__",
                ("checkpoint", "checkpoint_sha256", "revision", "input_size", "pooling"),
                instead="name an exported model by LOOKALIKE_ENCODER__MODEL, which has its weights with it "
                "(lookalike models export)",
            )
        return self


class DetectorSettings(Section):
    """The model that finds objects, and what runs it.

    `auto` is OpenVINO, except that there is no detector where the packaged one is chosen and its weights are missing.
    """

    runtime: Literal["auto", "openvino", "torch", "none"] = "auto"
    model: str = "ssd_mobilenet_v2_coco"
    device: str = "cpu"
    precision: Literal["auto", "f32", "bf16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    weights: str = "DEFAULT"
    checkpoint: NamedPath | None = None
    checkpoint_sha256: str | None = None
    labels_file: NamedPath | None = None

    @model_validator(mode="after")
    def _only_torch_chooses_weights(self) -> Self:
        # `none` runs nothing: what is set waits for another runtime.
        if self.runtime not in ("torch", "none"):
            _require_torch(
                self,
                f"{PREFIX}DETECTOR__",
                ("weights", "checkpoint", "checkpoint_sha256", "labels_file"),
                instead="name an exported detector by LOOKALIKE_DETECTOR__MODEL, which has its weights and labels with "
                "it (lookalike models export-detector)",
            )
        return self

    @model_validator(mode="after")
    def _torch_detects_in_f32(self) -> Self:
        if self.runtime == "torch" and self.precision == "bf16":
            raise ValueError(
                "LOOKALIKE_DETECTOR__PRECISION=bf16 needs OpenVINO: torch runs detectors in f32, whose boxes 16 bits "
                "would displace. Leave it out, or export the detector (lookalike models export-detector)"
            )
        return self


class ObjectSettings(Section):
    """Which detected objects are indexed with their picture."""

    enabled: bool = True
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.4
    min_area: Annotated[float, Field(ge=0, le=1)] = 0.005
    max_per_image: Annotated[int, Field(ge=0, le=100)] = 10
    padding: Annotated[float, Field(ge=0, le=1)] = 0.05


class RepositorySettings(Section):
    """Where records and vectors live."""

    backend: Literal["edge", "qdrant", "memory"] = "edge"
    indexed_metadata: Annotated[Mapping[str, MetadataType], NoDecode] = Field(default_factory=dict)
    url: str | None = None
    api_key: SecretStr | None = None
    collection: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] = "lookalike"
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    prefer_grpc: bool = True
    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 6334
    ca_certificate: NamedPath | None = None
    shard_number: Annotated[int, Field(ge=1)] | None = None
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    write_consistency_factor: Annotated[int, Field(ge=1)] | None = None
    on_disk_vectors: bool = True
    quantization: Literal["none", "int8"] = "int8"

    @field_validator("indexed_metadata", mode="before")
    @classmethod
    def _parse_indexed_metadata(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().rpartition(":") for part in value.split(",") if part.strip()]
        if any(not key or not kind for key, _, kind in pairs):
            raise ValueError("write it as key:type,key:type with types keyword, integer, float, bool or datetime")
        return {key: kind for key, _, kind in pairs}

    @model_validator(mode="after")
    def _url_goes_with_server(self) -> Self:
        if self.backend == "qdrant" and self.url is None:
            raise ValueError("backend qdrant needs LOOKALIKE_REPOSITORY__URL, such as http://localhost:6333")
        return self


class StorageSettings(Section):
    """The disk under the data directory."""

    reserve_bytes: Annotated[int, Field(ge=0)] = 512 * MEBIBYTE


class FetchSettings(Section):
    """Whether pictures are taken by URL, and from where. `allowed_hosts` need not be public: `host` or `host:port`."""

    enabled: bool = False
    allowed_hosts: CommaSeparated = ()
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    user_agent: Annotated[str, Field(pattern=r"^[ -~]*[!-~][ -~]*$")] = "Lookalike (fetches pictures for visual search)"

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for given in value:
            allowed_host(given)
        return value


class MetadataSettings(Section):
    """What pictures say of themselves. `exif`: `true` (time, camera, lens), or some of `taken,camera,lens,place`.

    It becomes metadata of each picture that is indexed: `exif_taken` and so on.
    """

    exif: Annotated[frozenset[ExifPart], NoDecode] = frozenset()

    @field_validator("exif", mode="before")
    @classmethod
    def _parse_exif(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_exif_parts(value)
        except InvalidInputError as error:
            raise ValueError(str(error)) from None


class LogSettings(Section):
    """What is written to standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TelemetrySettings(Section):
    """What is sent to other services. The standard OTEL_* variables say where and how."""

    traces: bool = False


class AuthSettings(Section):
    """API keys and what they open. Without keys, everyone may call."""

    keys: Annotated[tuple[ApiKey, ...], NoDecode] = Field(default=(), repr=False)
    keys_file: NamedPath | None = None
    public_metadata: CommaSeparated = ()
    signed_thumbnail_seconds: Annotated[int, Field(ge=0)] = 2 * 24 * 3600
    thumbnail_secret: SecretStr | None = None
    former_thumbnail_secret: SecretStr | None = None
    open_docs: bool = True
    open_metrics: bool = True

    @field_validator("keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        return parse_keys(value.split(",")) if isinstance(value, str) else value

    @field_validator("thumbnail_secret", "former_thumbnail_secret")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < LEAST_SECRET_LENGTH:
            raise ValueError(
                f"write {LEAST_SECRET_LENGTH} or more random characters, such as `openssl rand -hex 32` prints"
            )
        return value

    @property
    def has_keys(self) -> bool:
        """Whether callers need one."""
        return bool(self.keys) or self.keys_file is not None

    @model_validator(mode="after")
    def _closing_needs_keys(self) -> Self:
        if not self.has_keys and not (self.open_docs and self.open_metrics):
            raise ValueError("without keys nothing can be closed: set LOOKALIKE_AUTH__KEYS or __KEYS_FILE too")
        return self


class LimitSettings(Section):
    """How often callers may call, as `600/minute` or `20/second;1000/hour`; nothing is no limit."""

    per_key: str = ""
    per_address: str = ""
    wrong_keys: str = "20/minute;200/hour"

    @field_validator("per_key", "per_address", "wrong_keys")
    @classmethod
    def _can_be_parsed(cls, value: str) -> str:
        try:
            limits = parse_many(value) if value else []
        except ValueError:
            raise ValueError("write it as 600/minute, or 20/second;1000/hour") from None
        if any(limit.amount < 1 or limit.get_expiry() < 1 for limit in limits):
            raise ValueError("a limit is at least 1; nothing is no limit")
        return value


class ClientSettings(Section):
    """The service elsewhere that commands ask, unless `--url` and `--api-key` say otherwise; and what they remember."""

    url: str | None = None
    api_key: SecretStr | None = None
    state_dir: NamedPath | None = None


class Settings(BaseSettings):
    """All settings, read from the environment and from `.env` in the working directory (the environment wins)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: NamedPath = Path("data")
    models_dir: NamedPath = Path(sys.prefix) / "share" / "lookalike" / "models"
    http: HttpSettings = HttpSettings()
    decode: DecodeSettings = DecodeSettings()
    encoder: EncoderSettings = EncoderSettings()
    detector: DetectorSettings = DetectorSettings()
    objects: ObjectSettings = ObjectSettings()
    repository: RepositorySettings = RepositorySettings()
    storage: StorageSettings = StorageSettings()
    fetch: FetchSettings = FetchSettings()
    metadata: MetadataSettings = MetadataSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    client: ClientSettings = ClientSettings()

    @model_validator(mode="after")
    def _one_process_owns_an_embedded_index(self) -> Self:
        if self.http.workers > 1 and self.repository.backend != "qdrant":
            raise ValueError(
                f"LOOKALIKE_HTTP__WORKERS={self.http.workers} needs LOOKALIKE_REPOSITORY__BACKEND=qdrant: the "
                f"{self.repository.backend} backend lives in one process"
            )
        return self


class _ClientAlone(BaseSettings):
    model_config = Settings.model_config

    client: ClientSettings = ClientSettings()


def load_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError naming every variable that is wrong, and why."""
    _check_names(PREFIX)
    try:
        return Settings()
    except ValidationError as error:
        lines = (
            f"{_variable(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}" for problem in error.errors()
        )
        raise ConfigurationError("\n".join(lines)) from None


def load_client_settings() -> ClientSettings:
    """The settings for a service elsewhere; those of a service here are ignored. Raises ConfigurationError."""
    _check_names(f"{PREFIX}CLIENT__")
    return _ClientAlone().client


def _check_names(prefix: str) -> None:
    """Raise ConfigurationError for variables that begin so and are no settings."""
    names = set(setting_names(Settings))
    given = [*os.environ, *dotenv_values(".env")]
    if unknown := sorted({name for name in given if name.upper().startswith(prefix) and name.upper() not in names}):
        raise ConfigurationError("\n".join(_misspelt(name, names) for name in unknown))


def setting_names(model: type[BaseModel], prefix: str = PREFIX) -> Iterable[str]:
    """The environment variable of every setting, such as LOOKALIKE_HTTP__PORT."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from setting_names(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def _misspelt(name: str, names: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.0)
    return f"{name} is not a setting. Did you mean {nearest[0]}?"


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in location) if location else "Settings"
