import json
import subprocess
import sys
from pathlib import Path

from tests.integration.cli.command import lookalike

HEAVY = ["dependency_injector", "fastapi", "httpx", "numpy", "openvino", "PIL", "pydantic", "qdrant_client", "torch"]


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import json, sys\nfrom entrypoints.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(HEAVY) & set(json.loads(found.stdout.splitlines()[-1])) == set()


def test_a_misspelt_setting_is_named_with_the_nearest(tmp_path: Path) -> None:
    ended = lookalike("list", data_dir=tmp_path / "data", settings={"HTTP__PROT": "8000"})

    assert ended.returncode == 2
    assert ended.stderr == "lookalike: LOOKALIKE_HTTP__PROT is not a setting. Did you mean LOOKALIKE_HTTP__PORT?\n"
