"""What a shell and ``man`` know of the commands, written from the commands themselves."""
