"""Tests of what people meet: rating, reasons, sidecars, culling, the app."""
