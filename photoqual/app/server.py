"""The app's server: Streamlit on one address, with limits on what comes in. `photoqual app` starts it as a process."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from photoqual.app.guard_uploads import UploadGuard
from photoqual.app.limits import LIMITS, is_loopback

SCRIPT = Path(__file__).with_name("main.py")
LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]


def config(host: str, port: int) -> dict[str, Any]:
    """Return Streamlit's configuration. It comes before any config.toml and any variable of the environment."""
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.maxUploadSize": int(LIMITS.max_megabytes),
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.allowedHosts": LOOPBACK_NAMES if is_loopback(host) else [],
        "server.fileWatcherType": "none",
        "server.enableStaticServing": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "viewer",
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
        "theme.dark.primaryColor": "#ff8f9a",
    }


def serve(host: str, port: int) -> None:
    """Serve the app until SIGINT or SIGTERM."""
    from starlette.formparsers import MultiPartParser
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    MultiPartParser.spool_max_size = int(LIMITS.max_megabytes * 1.1e6) + 1_000_000  # over it, uploads go to the disk
    guard = Middleware(UploadGuard, held=held_bytes)
    App(SCRIPT, middleware=[guard], lifespan=_without_own_folder, on_script_error=_told).run(config=config(host, port))


def held_bytes() -> int:
    """Return how many bytes of uploads Streamlit holds for all sessions."""
    from streamlit.runtime import get_instance

    families: Any = get_instance().uploaded_file_mgr.get_stats()
    return sum(stat.byte_length for stats in families.values() for stat in stats)


@asynccontextmanager
async def _without_own_folder(_: Any) -> AsyncIterator[None]:
    """Take this folder off the import path, where Streamlit puts that of a script: our modules have names of their own."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").absolute() != SCRIPT.parent]
    yield


def _told(error: Exception) -> bool:
    """Show that something went wrong, without a word of how; the operator's log has it all."""
    import logging

    import streamlit as st

    logging.getLogger(__name__).error("a page failed", exc_info=error)
    st.error("Something went wrong here, and it is not your photo's fault. Reload the page to go on.")
    return True


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
