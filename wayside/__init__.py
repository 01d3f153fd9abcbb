"""One import name for every room: each folder here is a link to the room of that name beside this one."""
