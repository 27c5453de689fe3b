"""Answers that go on for hours: server-sent events."""
