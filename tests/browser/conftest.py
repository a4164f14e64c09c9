"""Chromium, and the demo app beside its sandboxes."""

from __future__ import annotations

from browsers import browsing, chromium, demo, size

__all__ = ("browsing", "chromium", "demo", "size")
