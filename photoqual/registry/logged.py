"""How a model folder becomes a logged model in MLflow, one that can be served."""

import importlib.metadata
import shutil
import tempfile
from pathlib import Path

import photoqual
from photoqual.registry.store import MODEL_NAME

_REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas", "pillow", "pydantic", "pyyaml")
"""What served_model.py needs; named, because letting MLflow infer them takes half a minute."""


def log_model(folder: Path, name: str = MODEL_NAME) -> tuple[str, str]:
    """Log `folder` as a pyfunc called `name` that carries its own copy of this package; return its address and id."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    answers = [
        ColSpec(DataType.double, "score", required=False),
        ColSpec(DataType.long, "stars"),
        ColSpec(DataType.boolean, "sure"),
        ColSpec(DataType.boolean, "familiar", required=False),
        ColSpec(DataType.string, "label"),
        ColSpec(DataType.string, "defects"),
        ColSpec(DataType.string, "skipped"),
    ]
    signature = ModelSignature(Schema([ColSpec(DataType.binary, "photo")]), Schema(answers))
    package_folder = Path(photoqual.__file__).parent
    with tempfile.TemporaryDirectory(prefix="photoqual-register-") as scratch:
        code = shutil.copytree(
            package_folder, Path(scratch, package_folder.name), ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(package_folder / "registry/served_model.py"),
            artifacts={"model": str(folder)},
            code_paths=[str(code)],
            pip_requirements=[f"{package}=={importlib.metadata.version(package)}" for package in _REQUIREMENTS],
            signature=signature,
        )
    return str(logged.model_uri), str(logged.model_id)
