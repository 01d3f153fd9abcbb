"""What every request passes before the hub does anything for it: names, places, limits, shares."""
