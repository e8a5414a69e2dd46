"""Pure: the words of a run, which hosts are meant, and every rule about them. Imports no library that does I/O."""
