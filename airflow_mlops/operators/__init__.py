"""One operator a stage of the loop: it reads the records before it, calls the domain, and writes its own record."""
