"""What `import germline` offers: policies to use, runs to start, specs to write, masters to talk to.

Imported by: `germline` itself, when a name is first asked for, and the command line.
"""
