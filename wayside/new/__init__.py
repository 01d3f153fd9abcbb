"""Files to begin with: commented, complete, and working before anything in them is changed."""
