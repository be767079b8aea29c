"""Faults on purpose (`make hurt`): runs are killed, disks fill up, many write at once, files are damaged. Nothing may be lost."""
