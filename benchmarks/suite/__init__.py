"""What `python -m benchmarks` is made of: who sends, what is measured, the table it becomes.

What is measured of the whole job comes from the benchmarks beside this folder, by their own functions.
"""
