"""The process that submissions' children are forked from: a program of its own, run by this folder's path."""
