"""The client's own program, where nothing of the service can be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lookalike_client
from tests.pictures import a_picture
from tests.serving import running

ALONE = """
import sys

for name in ("domain", "application", "adapters", "entrypoints", "fastapi", "starlette", "numpy", "openvino"):
    sys.modules[name] = None  # importing it fails
sys.argv[0] = "lookalike-client"

from lookalike_client.__main__ import main

main()
"""


def test_the_client_alone_has_the_commands(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(a_picture(number))
    with running(tmp_path / "service", {"REPOSITORY__BACKEND": "memory", "DETECTOR__RUNTIME": "none"}) as service:

        def client(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")},
                "LOOKALIKE_CLIENT__URL": service.url,
                "LOOKALIKE_CLIENT__STATE_DIR": str(tmp_path / "state"),
                "PYTHONPATH": str(Path(lookalike_client.__file__).parents[1]),
            }
            return subprocess.run(
                [sys.executable, "-c", ALONE, *arguments],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )

        indexed = client("index", folder)
        assert (indexed.returncode, indexed.stdout) == (0, "3 created, 0 existed, 0 failed\n"), indexed.stderr
        found = client("search", folder / "1.png", "--save", tmp_path / "sheet.png", "--json")
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["matches"][0]["image"]["key"] == "pictures/1.png"
        assert (tmp_path / "sheet.png").stat().st_size > 0
        assert client("patch", '{"price": 5}', "pictures/1.png").stdout == "1 updated\n"
        shown = json.loads(client("show", "pictures/1.png", "--json").stdout)
        assert shown["metadata"] == {"price": 5}
        assert client("delete", "pictures/1.png", "pictures/2.png").stdout == "2 deleted\n"
        assert client("list").stdout.endswith("1 of 1\n")
        table = tmp_path / "products.csv"
        table.write_text("sku,image\nA,pictures/1.png\n")
        imported = client("import", table, "--image-column", "image", "--key-column", "sku")
        assert imported.stdout == "1 created, 0 unchanged, 0 rows failed\n", imported.stderr
        assert (tmp_path / "state" / "sources.sqlite3").exists()
        refused = client("detect", folder / "0.png")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("lookalike: This deployment runs no object detector")
    gone = client("list")
    assert (gone.returncode, "Start one with `lookalike serve`, or correct --url." in gone.stderr) == (1, True)
