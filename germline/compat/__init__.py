"""Other packages' Python interfaces over germline's engine: change the import line. See docs/migrating.md."""
