"""The playing thread, and the engines that play evaluations.

Imported by: the connection, the loop, the centres for the engines below them, the command line, the Python
face.
"""
