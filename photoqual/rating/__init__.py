"""Rate any photo with the champion."""
