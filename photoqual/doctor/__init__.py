"""What is installed and configured here, whether it works, and what to do where it does not."""
