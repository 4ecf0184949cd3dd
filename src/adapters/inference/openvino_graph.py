"""Compiling a graph for OpenVINO: the device and the precision asked for, or an error."""

from typing import Any, Literal, NamedTuple, get_args

import openvino

from adapters.inference.model_directory import GRAPH, WEIGHTS, ModelDirectory
from domain.errors import ModelError

Precision = Literal["auto", "f32", "bf16"]
"""`auto` is bf16 where the device computes in it, else f32: never OpenVINO's own choice, which differs by machine."""

Hint = Literal["LATENCY", "THROUGHPUT"]


class CompiledGraph(NamedTuple):
    """A graph ready to run, and how it really runs."""

    model: openvino.CompiledModel
    device: str
    """`cpu`, `gpu.0`, ..."""
    precision: str
    """`f32` or `bf16`."""


def checked_precision(precision: Precision) -> Precision:
    """The same precision. Raises ModelError if OpenVINO has no such one."""
    if precision not in get_args(Precision):
        raise ModelError(f"OpenVINO takes precision {', '.join(get_args(Precision))}, not {precision!r}.")
    return precision


def available_precisions(device: str) -> tuple[Literal["f32", "bf16"], ...]:
    """What a device computes in, `f32` first. Raises ModelError if it is absent."""
    core = openvino.Core()
    return ("f32", "bf16") if _has_bf16(core, _device_name(core, device)) else ("f32",)


def read_graph(exported: ModelDirectory) -> openvino.Model:
    """The graph of an exported model. Raises ModelError."""
    try:
        return openvino.Core().read_model(exported.directory / GRAPH, exported.directory / WEIGHTS)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read the model in {exported.directory}: {error}") from error


def compile_graph(
    graph: openvino.Model, *, device: str, precision: Precision, threads: int = 0, hint: Hint = "LATENCY"
) -> CompiledGraph:
    """Compile for a device; `threads` 0 leaves their number to OpenVINO.

    Raises ModelError: the device is absent or does not compute in this precision, or cannot run the graph.
    """
    core = openvino.Core()
    name = _device_name(core, device)
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _precision_to_compile(core, name, precision),
        "PERFORMANCE_HINT": hint,
    }
    if name.partition(".")[0] == "CPU":
        # Bound threads take the first cores of the machine, as do those of every other graph, process and container.
        options["ENABLE_CPU_PINNING"] = False
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        model = core.compile_model(graph, name, options)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot run the model on {device}: {error}") from error
    compiled = CompiledGraph(
        model=model,
        device=",".join(model.get_property("EXECUTION_DEVICES")).lower(),
        precision=model.get_property("INFERENCE_PRECISION_HINT").to_string(),
    )
    if precision not in ("auto", compiled.precision):
        raise ModelError(f"OpenVINO computes in {compiled.precision} on {device}, not in {precision}.")
    return compiled


def _device_name(core: openvino.Core, device: str) -> str:
    """OpenVINO's name of a device. Raises ModelError if it is absent."""
    name = device.upper()
    if name not in core.available_devices:
        present = ", ".join(found.lower() for found in core.available_devices)
        raise ModelError(f"OpenVINO finds no device {device!r} here; it finds {present}.")
    return name


def _precision_to_compile(core: openvino.Core, device: str, asked: Precision) -> str:
    """Raises ModelError if the device does not compute in the precision asked for."""
    has_bf16 = _has_bf16(core, device)
    if asked == "bf16" and not has_bf16:
        raise ModelError(f"The device {device.lower()} does not compute in bf16: choose precision auto or f32.")
    return "bf16" if has_bf16 and asked != "f32" else "f32"


def _has_bf16(core: openvino.Core, device: str) -> bool:
    return "BF16" in core.get_property(device, "OPTIMIZATION_CAPABILITIES")
