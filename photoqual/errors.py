"""Every error that photoqual raises on purpose.

    PhotoqualError
    ├── ConfigError              params.yaml, an environment variable or an option is wrong
    ├── UnreadablePhoto          one photo cannot be used; it is counted, never fatal to a run
    ├── UnusableSidecar          one sidecar cannot be read or written; it is left as it is, and counted
    ├── SourceError              a source as a whole gave nothing usable
    │   └── EmptySource
    ├── DataError                a file between two stages is missing, foreign or does not fit
    │   ├── MissingData
    │   ├── TooFewPhotos
    │   └── FrozenTestLeak       a frozen photo, near duplicate or group-mate would be trained on
    ├── ValidationFailed         Great Expectations refused the data
    ├── TrainingError            training cannot start or broke off
    ├── ModelError               a model file is missing, foreign or disagrees with its twin
    ├── RegistryError            the model registry cannot be reached or holds something unexpected
    │   ├── NoChampion
    │   └── ChampionMoved        another run changed the champion in between
    └── PipelineError            the workspace, git or DVC
        ├── StageFailed          a stage ended with an error; carries the stage's own message
        ├── DataBranchMoved      branch `data` was advanced by another run in between
        └── EnvironmentDiffers   installed packages are not those of the lock file

Each message says what happened and what to do next; `details` holds what is needed to replay it.
"""

from typing import Any


class PhotoqualError(Exception):
    """Base of all; `str(error)` is a message for a person, `details` is for a machine."""

    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "", **details: Any) -> None:
        self.message = message
        self.next_step = next_step
        self.details = details
        super().__init__(f"{message} {next_step}".strip())


class ConfigError(PhotoqualError):
    exit_code = 2


class UnreadablePhoto(PhotoqualError):
    """One photo cannot be used. `reason` is a short stable key, such as `truncated`."""

    def __init__(self, reason: str, message: str, **details: Any) -> None:
        self.reason = reason
        super().__init__(message, **details)


class UnusableSidecar(PhotoqualError):
    """One sidecar cannot be read or written. `reason` is a short stable key, such as `xmp_broken`."""

    def __init__(self, reason: str, message: str, **details: Any) -> None:
        self.reason = reason
        super().__init__(message, **details)


class SourceError(PhotoqualError):
    pass


class EmptySource(SourceError):
    pass


class DataError(PhotoqualError):
    pass


class MissingData(DataError):
    pass


class TooFewPhotos(DataError):
    pass


class FrozenTestLeak(DataError):
    pass


class ValidationFailed(PhotoqualError):
    pass


class TrainingError(PhotoqualError):
    pass


class ModelError(PhotoqualError):
    pass


class RegistryError(PhotoqualError):
    pass


class NoChampion(RegistryError):
    pass


class ChampionMoved(RegistryError):
    pass


class PipelineError(PhotoqualError):
    pass


class StageFailed(PipelineError):
    pass


class DataBranchMoved(PipelineError):
    pass


class EnvironmentDiffers(PipelineError):
    pass
