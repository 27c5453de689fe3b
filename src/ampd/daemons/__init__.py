"""What the processes are made of: the controller, the worker, and solo, which runs both on one machine.

Here the rooms are put together; nothing imports this one but the command line and the demo.
"""
