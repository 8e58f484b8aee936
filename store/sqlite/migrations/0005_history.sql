-- What users were, and since when.

CREATE TABLE presence_changes (
	account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
	at      INTEGER NOT NULL,
	state   TEXT    NOT NULL,
	why     TEXT    NOT NULL,
	PRIMARY KEY (account, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX presence_changes_at ON presence_changes (at);
