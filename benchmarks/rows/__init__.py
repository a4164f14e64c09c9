"""One module for each promise. Each has `measure(effort)`, which yields the lines of its row."""
