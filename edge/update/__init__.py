"""New models: downloaded, tried, and switched to."""
