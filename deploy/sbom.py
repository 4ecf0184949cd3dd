"""Write a bill of materials (CycloneDX, JSON): the packages of an environment, and the models in it with their digests.

    python deploy/sbom.py --python .venv/bin/python --out sbom.cdx.json

Runs where `cyclonedx-bom` is installed, which need not be the environment that is described.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PYPROJECT = "pyproject.toml"


def main() -> None:
    """Write it, or say what is wrong and exit with 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="the interpreter of the environment")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    given = parser.parse_args()
    materials = packages(given.python)
    models = [model(manifest) for manifest in manifests(given.python)]
    if not models:
        sys.exit(f"No model is installed in the environment of {given.python}.")
    materials.setdefault("components", []).extend(models)
    for dependency in materials["dependencies"]:
        if dependency["ref"] == materials["metadata"]["component"]["bom-ref"]:
            dependency["dependsOn"] = sorted(
                [*dependency.get("dependsOn", []), *(found["bom-ref"] for found in models)]
            )
    materials["dependencies"] += [{"ref": found["bom-ref"]} for found in models]
    written = json.dumps(materials, indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.from_version(materials["specVersion"])).validate_str(written):
        sys.exit(f"The bill of materials is not valid: {error}")
    given.out.write_text(written, encoding="utf-8")
    print(f"{given.out}: {len(materials['components'])} components, of which {len(models)} models")


def packages(python: Path) -> dict[str, Any]:
    """What `cyclonedx-py` says of the environment; without times and random numbers, so that equal builds agree."""
    options = ["--pyproject", PYPROJECT, "--output-format", "JSON", "--output-reproducible"]
    made = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "environment", *options, python], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def manifests(python: Path) -> Iterator[Path]:
    """Of the packaged encoders, and of the detectors that `lookalike models prepare` has converted."""
    where = "import adapters, pathlib, sys; print(pathlib.Path(adapters.__file__).parent, sys.prefix)"
    asked = subprocess.run([python, "-P", "-c", where], check=True, stdout=subprocess.PIPE, text=True)
    package, prefix = map(Path, asked.stdout.split())
    yield from sorted(package.glob("encoders/models/*/manifest.json"))
    yield from sorted(prefix.glob("share/lookalike/models/*/manifest.json"))


def model(manifest: Path) -> dict[str, Any]:
    """A model as a component, its files within. Exits where a file is not what its manifest says."""
    stored = json.loads(manifest.read_text(encoding="utf-8"))
    reference = f"model:{stored['model']}"
    for name, digest in stored["sha256"].items():
        if hashlib.sha256((manifest.parent / name).read_bytes()).hexdigest() != digest:
            sys.exit(f"{manifest.parent / name} is not the file that its manifest names.")
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": stored["model"],
        "version": stored["weights_digest"][:12],
        "licenses": [{"license": {"id": {"apache-2.0": "Apache-2.0"}[stored["licence"]]}}],
        "properties": [
            {"name": "lookalike:weights-sha256", "value": stored["weights_digest"]},
            *(
                {"name": f"lookalike:made-with:{tool}", "value": str(version)}
                for tool, version in sorted(stored["made_with"].items())
            ),
        ],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{reference}/{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for name, digest in sorted(stored["sha256"].items())
        ],
    }


if __name__ == "__main__":
    main()
