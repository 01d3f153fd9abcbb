"""Walking a node's sensors at the cabinet, and the signed record of it."""
