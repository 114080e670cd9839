-- The whole of the databases of a monitor, and the one place where a table is defined.
-- Nothing in them is a secret. Each file has one writer.
--
-- database: monitor.db
-- Written by the follower alone: what a round found out is committed in one transaction
-- with the alerts that it raises, so that a crash repeats both or neither.

create table log (
  -- One row: which log this is, and how far it is verified.
  id integer primary key check (id = 1),
  vkey text not null,                   -- the log's key; another one is refused
  first text not null,                  -- the first checkpoint that was verified: what a
                                        -- state that was deleted cannot know
  size integer not null,                -- leaves verified; never goes back
  subtrees blob not null,               -- compact range of these leaves, 32 bytes each
  note text not null,                   -- the last verified checkpoint, as the log showed
                                        -- it; empty while catching up for the first time
  sealed integer not null,              -- unix seconds of the last seal
  frozen integer not null check (frozen in (0, 1)), -- whether that seal is the last
  began integer not null                -- unix seconds; when this state was made
) strict;

create table identity (
  -- Leaves that are identities: what the forward pass of authority starts from.
  idx integer primary key,
  leaf blob not null
) strict;

create table alert (
  -- Every alert ever raised, in order. Never changed, never deleted.
  seq integer primary key autoincrement,
  id text not null unique,              -- of what it is about: none is raised twice
  time integer not null,                -- unix seconds
  alert text not null                   -- JSON of alerts.Alert
) strict;

create table condition (
  -- What is wrong now and may end by itself: unreachable, stale, quorum-lost ...
  kind text primary key,
  since integer not null,               -- unix seconds; part of the alert's id
  seq integer not null references alert (seq)
) strict;

create table round (
  -- The last rounds, for `status` and the page; old ones are dropped.
  number integer primary key,
  time integer not null,                -- unix seconds, at its end
  took_ms integer not null,
  size integer not null,                -- leaves verified after it
  outcome text not null check (outcome in ('clean', 'alerts', 'unchecked')),
  found text not null                   -- in words
) strict;

create table fact (
  -- What rules remember from round to round; theirs to name. Trusted for alerts alone.
  rule text not null,
  name text not null,
  value text not null,
  primary key (rule, name)
) strict, without rowid;

-- database: delivery.db
-- Written by the deliverer alone.

create table sink (
  -- How far each sink has come: at least once, in order.
  name text primary key,
  delivered integer not null,           -- alert.seq of the last one that was taken
  failing integer,                      -- unix seconds since when it refuses, or null
  problem text                          -- what it last said, or null
) strict;
