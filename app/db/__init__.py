"""The store: all SQL of the service, on SQLite and PostgreSQL. Repositories take a connection and never commit."""
