"""What differs between a laptop, a team and a cluster: environment variables, each with a default for the laptop.

MLflow's own variables (`MLFLOW_TRACKING_URI` and so on) keep their names; see `registry/store.py` for the default.
"""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `PHOTOQUAL_…` variables; create it where it is needed, never at import."""

    model_config = SettingsConfigDict(env_prefix="PHOTOQUAL_", frozen=True)

    project_url: str | None = None
    """Git address that pipeline tasks clone and push to. On a laptop there is none: the clone you stand in is it."""
    dvc_remote_url: str | None = None
    """Address of the DVC store; overrides the remote of the project's .dvc/config in every workspace."""
    dvc_cache: Path | None = None
    """DVC cache shared by all workspaces of this host."""
    workspaces: Path = Path("~/.cache/photoqual/workspaces")
    """Folder for the clones that tasks work in."""
    refresh_cron: str | None = "0 3 * * *"
    """When `refresh_photos` runs by itself; an empty value: only by hand."""
    watch_cron: str | None = "0 5 * * *"
    """When `watch_champion` runs by itself; an empty value: only by hand."""
    run_id: str | None = None
    """Run that a command belongs to; the pipeline sets it."""
    outcome_file: Path | None = None
    """Where a command leaves its result or its error as JSON; the pipeline sets it."""
    checkpoints: str | None = None
    """Folder or address (`s3://bucket/path`) where a training keeps what it needs to go on after a kill."""
    tensorboard: Path | None = None
    """Folder for the event files of TensorBoard; without it there are none."""
