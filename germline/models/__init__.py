"""Networks that are served as models: how they are found and called, by the protocol of model-runner-client.

Values, announcements and paths stand here for both sides; :mod:`worker.serving` serves.
"""
