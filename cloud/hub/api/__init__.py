"""The routes of the hub, by who asks."""
