"""Text of others, made fit for a terminal."""


def plain(text: str) -> str:
    """Return `text` without characters that would move the cursor or that cannot be printed."""
    return "".join(character if character.isprintable() else "?" for character in text)
