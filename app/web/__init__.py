"""Pages for browsers and the files that they need; nothing is fetched from elsewhere."""
