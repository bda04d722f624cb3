"""A lesson, from its text to what is handed out: read, held to one form, run, and built into notebooks and answer keys."""
