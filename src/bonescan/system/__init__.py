"""What bonescan asks of Python and the operating system.

Processes, signals, packages, plug-ins, hashes, files written whole, the user's folder.
"""
