"""An embedded LinkAhead: HTTP/XML API and query language on one SQLite file."""
