"""A student's notebook, run as it will be marked: chosen, put into the lesson as it was released, and run step by step in a child.

The grader does so in a sandbox; `hand_in` does the same on the student's own machine.
"""
