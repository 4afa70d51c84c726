"""photoqual learns from rated photos what a good photo is, and rates new photos with reasons.

Importing this package has no effect: it configures nothing, opens nothing and loads no heavy library. `load` brings
the rating of photos to Python.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photoqual.api import load

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from photoqual.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
