"""What is remembered: frozen records for the machine, SQLModel tables for people and SQL.

``record`` holds the frozen structs that travel through the library and their one JSON codec;
``run``, ``artifact``, ``facet`` and ``schema`` hold the documented SQLModel classes. A test holds
both shapes equal. This package itself imports nothing, because SQLModel is slow to import and a
cache hit does not need it.
"""
