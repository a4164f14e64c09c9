"""What the library promises to be fast at, measured: `make bench`, explained in docs/performance.md."""
