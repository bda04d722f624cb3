"""From what a student handed in to marks in nbgrader's gradebook, whichever way grading was asked for."""
