"""Cards and labels for a list of sites."""
