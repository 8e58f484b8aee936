-- The last message kept of a sender, so that none is kept twice.

CREATE TABLE offline_origins (
	account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
	sender  TEXT    NOT NULL,
	request INTEGER NOT NULL,
	place   INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	PRIMARY KEY (account, sender)
) STRICT, WITHOUT ROWID;
