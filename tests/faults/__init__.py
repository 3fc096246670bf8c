"""Faults from outside, and what must hold in spite of them.

proxy       loses, doubles, delays and reorders datagrams, and cuts connections
clients     a producer and a consumer that retry until they are answered
topologies  what is started, killed and started again
model       the promises in Python: a small durable queue and worker, with faults to be planted
verdict     what was lost, doubled or wrong
rounds      kills, restarts, and the end of each round
"""
