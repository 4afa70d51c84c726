"""The MLflow registry: register, promote, roll back."""
