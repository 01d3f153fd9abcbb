"""What keeps the hub small: rollups, files of old rows, and when they are made."""
