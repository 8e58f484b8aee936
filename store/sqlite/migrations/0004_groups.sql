-- What administrators say of groups. Their members are the accounts' or a
-- directory's to tell.

CREATE TABLE chat_groups (
	key        TEXT    PRIMARY KEY, -- name without regard to case, and domain
	name       TEXT    NOT NULL,
	domain     TEXT    NOT NULL,
	authorised INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
