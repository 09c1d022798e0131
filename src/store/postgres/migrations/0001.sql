-- The journal: one row per chunk. Chunks are compressed and checked by us, so PostgreSQL stores their bytes as they are.
create table cortado.chunk (
    number int8 primary key,
    -- The batch that wrote the chunk, by which a process finds out whether its own batch was written.
    grp uuid not null,
    at timestamptz not null default now(),
    body bytea not null
);
alter table cortado.chunk alter column body set storage external;

-- What is derived from the journal. PostgreSQL orders bytea by its bytes.
create table cortado.row (
    key bytea primary key,
    value bytea not null
);
alter table cortado.row alter column value set storage external;

-- The processes that work on the log. Each says about once a second that it is there.
create table cortado.node (
    session int8 primary key,
    name text not null,
    version text not null,
    -- While somebody reads a snapshot there, the others remove nothing.
    reads_snapshot bool not null,
    heartbeat timestamptz not null
) with (fillfactor = 50);
