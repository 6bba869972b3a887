"""Makes the site of `docs/`: the generated reference, and links to what lies beside `docs/`.

Imported by: mkdocs, through `mkdocs.yml`, and the tests.
"""
