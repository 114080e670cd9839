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

-- database: witness.db
-- Written by the witness alone, before it answers. Trusted for the one thing that a
-- witness promises: its cosignatures of a log lie on one history. So it is never deleted,
-- and never put back from a copy: then the key is at its end (docs/witness.md).

create table witness (
  -- One row: whose memory this is.
  id integer primary key check (id = 1),
  vkey text not null,                   -- the witness's key; another one is refused
  began integer not null                -- unix seconds; when it was made
) strict;

create table cosigned (
  -- The newest checkpoint of each log that was cosigned.
  origin text primary key,
  size integer not null check (size >= 0), -- never goes back
  root blob not null check (length(root) = 32), -- never another one of the same size
  time integer not null check (time > 0), -- unix seconds of our line; never goes back
  note text not null                    -- the checkpoint, the log's line and ours
) strict, without rowid;

create trigger if not exists cosigned_never_goes_back before update on cosigned
when new.size < old.size or new.time < old.time or new.origin <> old.origin
  or (new.size = old.size and new.root <> old.root)
begin select raise(abort, 'a cosigned checkpoint never goes back'); end;

create trigger if not exists cosigned_is_never_forgotten before delete on cosigned
begin select raise(abort, 'a cosigned checkpoint is never forgotten'); end;

create table fork (
  -- Two checkpoints of one size that a log signed: evidence, at most a few a log.
  origin text not null,
  root blob not null,                   -- of the second one, which was refused
  size integer not null,
  ours text not null,                   -- the note that was cosigned
  theirs text not null,                 -- the note that was refused, as it came
  time integer not null,                -- unix seconds
  primary key (origin, root)
) strict, without rowid;

-- database: index.db
-- Written by the index process alone: the index over all leaves read, made from entries
-- and nothing else. It can always be made anew; each commit is of whole leaves.

create table progress (
  -- One row.
  id integer primary key check (id = 1),
  size integer not null                 -- leaves that are in the index
) strict;

create table subtrie (
  -- The keys that share their first bits, or the 16 subtries that these are spread over.
  number integer primary key,           -- of d bits with value p: 2^d + p
  leaves blob not null                  -- ascending by key: key, leaf hash (32 bytes
                                        -- each), first index, count of indices (u64); or
                                        -- 16 hashes, one each for the next four bits
) strict;

create table prefix (
  -- The hashes of neighbouring subtries: what a start reads instead of all of them.
  page integer primary key,             -- number of the first one, divided by 8
  hashes blob not null                  -- 8 of 32 bytes each; zeros where no key is
) strict;

create table more (
  -- All indices of a key but the first.
  key blob not null,
  part integer not null,
  indices blob not null,                -- u64 each, ascending, 512 a part
  primary key (key, part)
) strict, without rowid;

create table statement (
  -- Where each payload stood first.
  sha256 blob primary key,              -- of the payload
  idx integer not null
) strict, without rowid;
