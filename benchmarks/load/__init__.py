"""`python -m benchmarks load`: locust with our users, on its page or headless, against a server that runs.

samples       what is sent, in which mixes
shapes        how many users there are when
locust_run    the command line of locust, and its statistics as a result
closed_loop   a second witness: the same load without locust
"""
