"""To and from a learning management system: archives of submissions, lists of participants, marks, Gradescope."""
