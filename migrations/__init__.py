"""The schema's history, one file a step; `app.db.migrate` runs it."""
