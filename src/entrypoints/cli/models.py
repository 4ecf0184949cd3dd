"""`lookalike models list`, `pull`, `fit` and `export`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from entrypoints.settings import EncoderSettings

MODELS = "models"
"""Where exported models are kept by default: a folder of the data directory."""

Revision = Annotated[
    str | None, typer.Option(metavar="REVISION", help="The hub's commit, tag or branch; a commit never changes.")
]

Digest = Annotated[
    str | None,
    typer.Option(metavar="HEX", help="The SHA-256 that the weights must have, or its beginning (8 digits or more)."),
]


class Pooling(StrEnum):
    """How features become one vector."""

    AUTO = "auto"
    GEM = "gem"
    GEM_QUARTERS = "gem_quarters"
    MODEL = "model"


Model = Annotated[str, typer.Option(metavar="NAME", help="A model of timm.")]

Checkpoint = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Weights from this file, not from the hub.")
]

InputSize = Annotated[
    int | None, typer.Option(min=32, max=2048, metavar="PIXELS", help="The model's input; default its own.")
]

PoolingOption = Annotated[
    Pooling,
    typer.Option(
        help="gem: generalised mean; gem_quarters: also of the picture's quarters; model: the model's own; "
        "auto: as the encoder chooses."
    ),
]

FitOn = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="Fit the projection on the photos below it, a subfolder for each subject; default on packaged ones.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(no_args_is_help=True)
    models.command("list")(list_models)
    models.command()(pull)
    models.command()(fit)
    models.command()(export)
    models.command("export-detector")(export_detector)
    models.command()(prepare)
    app.add_typer(models, name="models", help="See, fetch and export the models that turn pictures into vectors.")


def list_models(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where exported models are; default `models` in the data directory."),
    ] = None,
) -> None:
    """List the models that run here without torch: the packaged ones, and those you have exported.

    Example: [bold]lookalike models list[/]
    """
    from entrypoints.container import runnable_models
    from entrypoints.settings import load_settings
    from lookalike_client.commands.tables import print_table

    settings = load_settings()
    print_table(
        ["LOOKALIKE_ENCODER__MODEL", "From", "Dimension", "Input", "MB", "Weights", "Licence"],
        [
            [
                model.name,
                "packaged" if model.packaged else "exported",
                str(model.exported.dimension),
                f"{model.exported.preprocessing.size} px",
                f"{model.exported.size_bytes / 1e6:.1f}",
                model.exported.weights_digest[:12],
                model.exported.licence,
            ]
            for model in runnable_models(directory or settings.data_dir / MODELS)
        ],
        right_aligned={"Dimension", "Input", "MB"},
    )
    print(f"The settings choose {settings.encoder.model} on {settings.encoder.runtime}.")
    print("With LOOKALIKE_ENCODER__RUNTIME=torch any model of timm runs; `lookalike models pull` fetches its weights.")


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of timm.")],
    revision: Revision = None,
    sha256: Digest = None,
) -> None:
    """Fetch a model's weights, verify them, and keep them for use without a network. Needs torch.

    Example: [bold]lookalike models pull tf_efficientnet_lite1 --sha256 77cc7160[/]
    """
    from entrypoints.container import pull_model

    pulled, commit = pull_model(name, revision=revision, sha256=sha256)
    size = f"{pulled.features.dimension} dimensions, input {pulled.preprocessing.size} px"
    print(f"{pulled.name}: {size}, licence {pulled.licence}")
    print(f"Weights: {pulled.checkpoint}")
    print("To run exactly these:")
    print("  LOOKALIKE_ENCODER__RUNTIME=torch")
    print(f"  LOOKALIKE_ENCODER__MODEL={name}")
    print(f"  LOOKALIKE_ENCODER__CHECKPOINT_SHA256={pulled.weights_digest}")
    if commit is not None:
        print(f"  LOOKALIKE_ENCODER__REVISION={commit}")


def fit(
    model: Model,
    out: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="Where to write the projection (.npz).")],
    fit_on: FitOn = None,
    checkpoint: Checkpoint = None,
    sha256: Digest = None,
    revision: Revision = None,
    input_size: InputSize = None,
    pooling: PoolingOption = Pooling.AUTO,
) -> None:
    """Fit the layer that makes a timm model's features better vectors, as `export` does. Needs torch, but no labels.

    Example: [bold]lookalike models fit --model resnet18.a1_in1k --fit-on photos --out projection.npz[/]
    """
    from entrypoints.container import fit_projection

    chosen = _chosen(model, checkpoint, sha256, revision, input_size, pooling)
    fitted, projection = fit_projection(chosen, fit_on=fit_on)
    projection.save(out)
    wide, dimension = projection.matrix.shape
    print(f"{fitted.name}: from {wide:,} features to {dimension} dimensions, in {out}")
    print(f"To fold it in: lookalike models export --model {model} --projection {out}")


def export(
    model: Model,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new directory; default `models/NAME` in the data directory."),
    ] = None,
    fit_on: FitOn = None,
    projection: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="What `fit` wrote; default fitted anew."),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="8 bits: twice as fast on CPUs without bf16, but measure what your model loses."),
    ] = False,
    checkpoint: Checkpoint = None,
    sha256: Digest = None,
    revision: Revision = None,
    input_size: InputSize = None,
    pooling: PoolingOption = Pooling.AUTO,
) -> None:
    """Convert a timm model for OpenVINO, so that it runs without torch. Converting needs torch.

    A projection that makes better vectors is fitted and folded in. Nothing is written unless the converted model gives
    the same vectors as torch.

    Example: [bold]lookalike models export --model resnet18.a1_in1k --out models/resnet18[/]
    """
    from entrypoints.container import export_model
    from entrypoints.settings import load_settings

    directory = out or load_settings().data_dir / MODELS / model
    chosen = _chosen(model, checkpoint, sha256, revision, input_size, pooling)
    exported, cosines = export_model(chosen, directory, fit_on=fit_on, projection=projection, int8=int8)
    parity = ", ".join(f"{precision} {cosine:.5f}" for precision, cosine in cosines.items())
    print(
        f"{exported.model}: {exported.dimension} dimensions, {exported.size_bytes / 1e6:.1f} MB in {exported.directory}"
    )
    print(f"Least cosine to torch: {parity}")
    print("To run it:")
    print(f"  LOOKALIKE_ENCODER__MODEL={exported.directory}")


def _chosen(
    model: str,
    checkpoint: Path | None,
    sha256: str | None,
    revision: str | None,
    input_size: int | None,
    pooling: Pooling,
) -> "EncoderSettings":
    from entrypoints.settings import EncoderSettings

    return EncoderSettings(
        runtime="torch",
        model=model,
        checkpoint=checkpoint,
        checkpoint_sha256=sha256,
        revision=revision,
        input_size=input_size,
        pooling=pooling.value,
    )


def export_detector(
    model: Annotated[str, typer.Option(metavar="NAME", help="A detection model of torchvision.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new directory; default `models/NAME` in the data directory."),
    ] = None,
    weights: Annotated[str, typer.Option(metavar="NAME", help="Which of the model's published weights.")] = "DEFAULT",
    checkpoint: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Weights from this file, not from the hub.")
    ] = None,
    sha256: Digest = None,
    labels_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A checkpoint's labels, one a line."),
    ] = None,
) -> None:
    """Convert a torchvision detector for OpenVINO, so that it runs without torch. Converting needs torch.

    Nothing is written unless the converted model finds the same objects.

    Example: [bold]lookalike models export-detector --model fasterrcnn_mobilenet_v3_large_320_fpn[/]
    """
    from entrypoints.container import export_detector
    from entrypoints.settings import DetectorSettings, load_settings

    chosen = DetectorSettings(
        runtime="torch",
        model=model,
        weights=weights,
        checkpoint=checkpoint,
        checkpoint_sha256=sha256,
        labels_file=labels_file,
    )
    written = export_detector(chosen, out or load_settings().data_dir / MODELS / model)
    print(f"{model}: in {written.directory}")
    print("To run it:")
    print(f"  LOOKALIKE_DETECTOR__MODEL={written.directory}")


def prepare() -> None:
    """Convert the packaged detector once, which makes every start seconds quicker. Installing does it.

    Example: [bold]lookalike models prepare[/]
    """
    from entrypoints.container import prepare_detector
    from entrypoints.settings import load_settings

    directory = prepare_detector(load_settings())
    print(f"The packaged detector is ready in {directory}." if directory else "No packaged detector is installed.")
