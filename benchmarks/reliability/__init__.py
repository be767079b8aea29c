"""Fault injection (`make hurt`): kill runs, fill disks, write from many processes, damage files. Nothing may be lost."""
