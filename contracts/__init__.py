"""What crosses a boundary: data and pure functions only. Stands on nothing else in the house."""
