import subprocess
import sys
from pathlib import Path

import lookalike_client


def test_both_faces_are_one_source() -> None:
    script = Path(lookalike_client.__file__).parents[1] / "make_synchronous.py"
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
