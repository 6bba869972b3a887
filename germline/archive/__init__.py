"""The archive: a record of every evaluation, in files of columns, and what can be read from them.

numpy and the standard library only; boto3 where it lies in a bucket.
"""
