"""An independent implementation of the wire protocol, for tests.

Every program here is written from the description of the protocol alone and
shares no code with the C program, so that a node of ours and a node of this
package test each other.  Each module is a class that runs in a thread of the
test (start, stop, address, wait_for) and a program (python3 -m peer.queue).
"""
