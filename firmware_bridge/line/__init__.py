"""The board's serial line: all of this room that a node may import, with the errors."""
