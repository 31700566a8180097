"""The service: everything that knows SQL, HTTP, settings and processes."""
