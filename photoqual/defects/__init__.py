"""What can be wrong with a photo, as pure functions on arrays: training data, the demo's damaged photos, the checks of
models.
"""
