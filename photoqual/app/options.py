"""What `photoqual app` was told, as the pages read it: variables of the server's environment."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "PHOTOQUAL_APP_"


class Options(BaseSettings):
    """Read from `PHOTOQUAL_APP_…` variables; create it where it is needed, never at import."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    model: str | None = None
    """A registry address, a model folder or `starter`; None: the champion, and where there is none, the starter."""
    photos: Path | None = None
    """Folder of the photos to label; None: it is chosen on the page, or that which the labels are of."""
    labels: Path = Path("labels")
    """Folder of the labels given."""
    keep_uploads: Path | None = None
    """Folder that keeps every upload; None: none is kept."""
    local: bool = True
    """Only this machine can reach the app, so a page may read the folders that are named there."""
