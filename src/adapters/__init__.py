"""Technology behind the ports, grouped by the port it serves. Only entrypoints.container imports it."""

import sys

# OpenVINO reports every import of itself to an analytics service where it finds this package, which comes with it.
# Nothing here phones home; without the package it uses a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
