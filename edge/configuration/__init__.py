"""A node's file as it lies on a machine: what ``wayside node check`` and ``node migrate`` do."""
