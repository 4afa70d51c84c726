"""The self-contained HTML gallery of rated photos, and faces blurred before it is shared."""
