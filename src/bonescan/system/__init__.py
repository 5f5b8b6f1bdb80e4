"""What bonescan asks of Python and the operating system: processes, signals, packages, hashes, the user's folder."""
