-- The whole of both databases of a log, and the one place where a table is defined.
--
-- Two files, so that two processes never fight for one write lock: the web process alone
-- writes intake.db, the sequencer alone writes log.db, each reads the other's. Both are in
-- WAL mode with synchronous=FULL: what is committed survives the loss of power.
--
-- Nothing in these files is a secret, and nothing in them is believed by anybody but this
-- server: clients check signatures and proofs. Who can write log.db can make the log
-- publish nonsense, which every monitor then sees; who can write intake.db can submit,
-- which everybody can, or drop what was promised a decision. The signing key is in
-- neither.

-- database: intake.db

create table intake (
  -- Statements that were promised a decision and have none yet. The web process inserts a
  -- row before it answers 201 or 202, and deletes it once log.db says that it is decided.
  id integer primary key autoincrement, -- web; the order in which the sequencer decides;
                                        -- never used twice, so that `taken` may name it
  envelope blob not null,               -- web; the bytes as submitted; judged by the web
                                        -- process, and again by the sequencer, which does
                                        -- not trust that
  envelope_sha256 blob not null,        -- web; of `envelope`: finds the row that waits
  conflict_accepted integer not null check (conflict_accepted in (0, 1)),
                                        -- web; whether ?conflict=accept was said
  received integer not null             -- web; unix seconds; for /healthz alone
) strict;

create index intake_by_envelope on intake (envelope_sha256);

-- database: log.db

create table log (
  -- One row: what log this is, and how far the sequencer has come.
  id integer primary key check (id = 1), -- init; there is one row
  origin text not null,                 -- init; the log's name; the sequencer refuses a
                                        -- key or a configuration with another one
  vkey text not null,                   -- init; the log's public key; as `origin`
  taken integer not null                -- sequencer; every intake row up to this id is
                                        -- decided; trusted for deleting them
) strict;

create table entry (
  -- The leaves. A row is never changed and never deleted.
  idx integer primary key,              -- sequencer; the leaf's index, from 0 without gaps
  leaf blob not null,                   -- sequencer; its bytes, as submitted; everything
                                        -- else in log.db but signatures can be made anew
                                        -- from these two columns, and `fsck` does
  statement blob check (length(statement) = 32),
                                        -- sequencer; SHA-256 of the statement's payload;
                                        -- null in a seal; trusted for "once in a log"
  kind text not null check (
    kind in ('identity', 'release', 'pass', 'fail', 'revocation', 'seal')
  )                                     -- sequencer; `pass` includes qualified; chooses
                                        -- what the forward pass of authority has to read
) strict;

create unique index entry_by_statement on entry (statement) where statement is not null;
create index entry_identities on entry (idx) where kind = 'identity';

create table tile (
  -- The Merkle tree as C2SP hash tiles, each as wide as it has grown.
  level integer not null,               -- sequencer
  idx integer not null,                 -- sequencer
  hashes blob not null,                 -- sequencer; 1..256 hashes of 32 bytes; the files
                                        -- below public/ are cut from these
  primary key (level, idx)
) strict;

create table index_entry (
  -- The index: under each key the entries that have it. These are also the leaves of the
  -- index trie: a key with the hash over its list is one.
  key_hash blob not null check (length(key_hash) = 32),
                                        -- sequencer; SHA-256 of the key string
  idx integer not null,                 -- sequencer; an entry's index
  value blob check (length(value) = 32), -- sequencer; hash over the list up to this index;
                                        -- in the last row that a batch adds to a list, and
                                        -- only if it is long (index_pages.LONG) by then
  primary key (key_hash, idx)
) strict, without rowid;

create table trie_page (
  -- The hashes of the index trie by their place, after the newest batch. They follow from
  -- `index_entry`; `fsck` makes them anew.
  number integer primary key,           -- sequencer; of the place: 2^d + p, where the keys
                                        -- below begin with the d bits p
  hashes blob not null check (length(hashes) = 256)
                                        -- sequencer; of the eight subtries for the next
                                        -- three bits; zeros where there is no key
) strict;

create table trie_page_before (
  -- What a batch has changed in `trie_page`: with it, readers of the batch before go on.
  -- Rows go when they are a few batches old (ledger.KEPT_BATCHES).
  batch integer not null,               -- sequencer; the one that changed the page
  number integer not null,              -- sequencer; as in `trie_page`
  hashes blob check (length(hashes) = 256), -- sequencer; until then; null: no such page
  primary key (batch, number)
) strict, without rowid;

create table checkpoint (
  -- One row a batch that added leaves. A row is never changed and never deleted.
  batch integer primary key,            -- sequencer; 1, 2, 3 ...
  size integer not null unique,         -- sequencer; leaves; the last one is the seal
  root blob not null,                   -- sequencer; root of the tree of `size` leaves
  index_root blob not null,             -- sequencer; root of the trie, as in the seal
  time integer not null,                -- sequencer; unix seconds, as in the seal
  frozen integer not null check (frozen in (0, 1)), -- sequencer; as in the seal
  note text not null                    -- sequencer; the checkpoint, signed by the log
                                        -- alone; no other is ever signed for this size
) strict;

create table published (
  -- One row, once a log has begun: what /checkpoint shows. Everything that the web process
  -- answers from lies below this size. It is written after the file, and may be lost with
  -- the power: a restart finds the file and writes it again.
  id integer primary key check (id = 1), -- sequencer; there is one row
  batch integer not null references checkpoint (batch), -- sequencer
  note text not null                    -- sequencer; the checkpoint with cosignatures
) strict;

create table decision (
  -- What became of an envelope: its statement's index, or a refusal. A refusal gives way
  -- when the same envelope is submitted again and accepted; an index stands for ever.
  envelope_sha256 blob primary key check (length(envelope_sha256) = 32), -- sequencer
  idx integer,                          -- sequencer; the statement's index
  problem text,                         -- sequencer; the slug of the refusal's `type`
  detail text,                          -- sequencer; the refusal in words
  check ((idx is null) = (problem is not null) and (problem is null) = (detail is null))
) strict, without rowid;

create table given (
  -- How much an issuer has said in favour of a measurement: releases and passes.
  key_hash blob primary key,            -- sequencer; of the key v1/by/...
  statements integer not null           -- sequencer; trusted for admission's limit alone
) strict, without rowid;

create table word (
  -- Plain search: the words under which an entry is found. Trusted for nothing.
  word text not null,                   -- sequencer; lower case
  idx integer not null,                 -- sequencer; an entry's index
  primary key (word, idx)
) strict, without rowid;
