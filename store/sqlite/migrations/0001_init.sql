-- Everything hangs on accounts by a small number and goes with the account.
-- Times are microseconds since 1970, UTC. Lists are JSON arrays.

CREATE TABLE accounts (
	-- Never used again after a deletion: roster versions start from it.
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	domain   TEXT    NOT NULL,
	local    TEXT    NOT NULL,
	keys     TEXT    NOT NULL, -- {"SCRAM-SHA-256": {...}, ...}
	name     TEXT    NOT NULL,
	email    TEXT    NOT NULL,
	"groups" TEXT    NOT NULL,
	disabled INTEGER NOT NULL,
	created  INTEGER NOT NULL,
	changed  INTEGER NOT NULL,
	UNIQUE (domain, local)
) STRICT;

-- The version of each roster that was ever changed; its history of changes
-- reaches back to floor.
CREATE TABLE rosters (
	account INTEGER PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
	ver     INTEGER NOT NULL,
	floor   INTEGER NOT NULL
) STRICT;

CREATE TABLE roster_items (
	account  INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
	jid      TEXT    NOT NULL,
	ver      INTEGER NOT NULL,
	flags    INTEGER NOT NULL, -- bits 0-1 subscription, 2 ask, 3 pending in, 4 approved
	name     TEXT    NOT NULL,
	"groups" TEXT    NOT NULL, -- empty: none
	request  BLOB,
	PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

-- Contacts removed, as far as the history reaches.
CREATE TABLE roster_removed (
	account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
	jid     TEXT    NOT NULL,
	ver     INTEGER NOT NULL,
	PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE offline (
	-- Never used again: a late removal must not hit a younger message.
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
	stamp   INTEGER NOT NULL,
	xml     BLOB    NOT NULL
) STRICT;

CREATE INDEX offline_account ON offline (account);

CREATE TABLE private (
	account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
	space   TEXT    NOT NULL,
	local   TEXT    NOT NULL,
	xml     BLOB    NOT NULL,
	PRIMARY KEY (account, space, local)
) STRICT;

CREATE TABLE vcards (
	account INTEGER PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
	xml     BLOB NOT NULL
) STRICT;

CREATE TABLE last_seen (
	account INTEGER PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
	at      INTEGER NOT NULL,
	status  TEXT    NOT NULL
) STRICT;

-- Sessions written down by a graceful stop; emptied by the next start.
CREATE TABLE sessions (
	sid  TEXT PRIMARY KEY,
	kind TEXT NOT NULL,
	data BLOB NOT NULL
) STRICT;

CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
