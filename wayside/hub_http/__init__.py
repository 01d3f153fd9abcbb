"""HTTP to a hub, for every room: which proxy, which client, and what a failure means."""
