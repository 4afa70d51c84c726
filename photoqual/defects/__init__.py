"""What can be wrong with a photo, as pure functions on arrays: the demo's damaged photos and the checks of models."""
