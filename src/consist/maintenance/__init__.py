"""What keeps a database healthy for years: look at it, copy it, fill it, thin it out.

====================  ==============================================================
``inspect``           figures of a database
``doctor``            what is wrong with it, and what to do about that
``copies``            keep it as it is now; be rid of the space it wastes
``rebuild``           fill it from the snapshots of runs
``shards``            a run as a database of its own, and into another database
``purge``             remove runs for good
``collect``           free the bytes of outputs that can be made again
``verify``            read what was recorded again, and compare
--------------------  --------------------------------------------------------------
``places``            where snapshots lie, and which files may be removed
``disk``              what takes how much room
====================  ==============================================================
"""
