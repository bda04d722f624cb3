"""What is made of marks for people to read: a student's feedback, a lesson's report, the class over all lessons."""
