import os
import subprocess
import sys
from pathlib import Path

ASK = """
import adapters.encoders.openvino_image_encoder
import openvino.tools.ovc.convert_impl as converter
print(converter.tm.__name__)
"""


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    asked = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
    assert list(tmp_path.iterdir()) == []
