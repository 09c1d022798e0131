-- What a node says about itself. A version that does not know these columns leaves them as they are.
alter table cortado.node
    -- When it opened the log.
    add column started_at timestamptz not null default now(),
    -- The number of the last event that it knows.
    add column seq int8 not null default 0,
    -- How many milliseconds the chunk that it was about to read was there.
    add column lag_ms int8 not null default 0,
    -- The newest format that it understands.
    add column newest_format int8 not null default 1,
    -- A JSON object with further figures.
    add column figures text not null default '{}';
