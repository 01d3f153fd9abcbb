"""What the node's models are asked, and what their answers mean: one :class:`~wayside.edge.tasks.task.Task` a table."""
