"""Card images of nodes."""
