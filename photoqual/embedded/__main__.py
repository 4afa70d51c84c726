"""`python -m photoqual.embedded demo` and `… up`: the whole platform on this machine. `make demo`, `make up` call it."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from photoqual.embedded.demo import demo
from photoqual.embedded.home import Home
from photoqual.embedded.up import up
from photoqual.errors import PhotoqualError

PROJECT = Path(__file__).resolve().parents[2]
_FILE_WIDTH = 140
"""Characters in a line where standard output is not a terminal."""
ACTS = {"demo": demo, "up": up}


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m photoqual.embedded", description="The platform on this machine.")
    parser.add_argument(
        "act", choices=ACTS, help="demo: three runs from nothing to a champion; up: its user interfaces"
    )
    parser.add_argument("--home", type=Path, default=PROJECT / ".demo", help="folder that holds everything made")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    try:
        ACTS[options.act](PROJECT, Home(options.home.resolve()), console)
    except PhotoqualError as error:
        console.print(f"\nError: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nEnded.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
