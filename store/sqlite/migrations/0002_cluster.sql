-- What the nodes of a cluster share. Users need no account here; an assignment
-- that was taken back stays with empty nodes, so that others hear of it.

CREATE TABLE cluster_epoch (
	id    INTEGER PRIMARY KEY CHECK (id = 0),
	epoch INTEGER NOT NULL
) STRICT;

INSERT INTO cluster_epoch (id, epoch) VALUES (0, 0);

CREATE TABLE cluster_assignments (
	domain     TEXT    NOT NULL,
	local      TEXT    NOT NULL,
	"primary"  TEXT    NOT NULL,
	secondary  TEXT    NOT NULL,
	epoch      INTEGER NOT NULL,
	PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;

CREATE INDEX cluster_assignments_epoch ON cluster_assignments (epoch, domain, local);

CREATE TABLE cluster_records (
	key     TEXT PRIMARY KEY,
	data    BLOB    NOT NULL,
	version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
