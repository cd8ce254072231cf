"""The record: how runs are remembered, and how questions about them are asked.

The journal is how we remember, the database is how we ask. Appending to the journal is the commit
of a run; merging moves records into DuckDB in bulk and never makes a run wait.

====================  ==============================================================
``base``              the small protocol that the rest of the library sees
``embedded``          its implementation on journal, index and DuckDB
``unindexed``         its implementation where there is no database
``claims``            who gets a run id that is asked for twice
``leases``            who executes what others wait for
``snapshots``         one readable JSON file per run
--------------------  --------------------------------------------------------------
``folder``            the folder beside the database: paths, state, notices
``belonging``         whether the database is the one that the folder knows
``frames``            framed records: length, checksum, JSON
``journals``          the journals of all processes, as everybody may read them
``journal``           append records to the journal of this process
--------------------  --------------------------------------------------------------
``index``             signature, location and id look-ups without the database
``index_file``        the SQLite file behind them
``lookups``           keeping them abreast of other processes
--------------------  --------------------------------------------------------------
``database``          attaching and detaching the DuckDB file
``migrations``        numbered changes of the stored schema
``rows``              from events to rows
``schema``            from rows into tables
``known``             what tables hold already, found without reading them
``naming``            under which id a run is stored, and which event is the newest
``storing``           all of these for a batch of events
``tail``              what the database does not know yet, joined to every question
``tail_tables``       its rows, and the views that join them
``engine``            the same for SQLAlchemy
--------------------  --------------------------------------------------------------
``merge``             from journals into the database
``background``        merging in a thread of a long-lived process
``orphans``           what a vanished process left behind
``refill``            what a deleted or restored database lacks, from snapshots
``maintenance``       whole runs back out of the database
--------------------  --------------------------------------------------------------
``locks``             locks, process identity, what differs between operating systems
====================  ==============================================================
"""
