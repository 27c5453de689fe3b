"""The shapes of requests and answers, and how rows become answers."""
