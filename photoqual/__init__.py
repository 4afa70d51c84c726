"""photoqual learns from rated photos what a good photo is, and rates new photos with reasons.

Importing this package has no effect: it configures nothing, opens nothing and loads no heavy library.
"""

__version__ = "0.1.0"
