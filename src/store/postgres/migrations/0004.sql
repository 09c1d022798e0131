-- Jobs for queries, if a server keeps them up (`store.projection`). All of it is derived from the log.
create table cortado.projected_job (
    id uuid primary key,
    kind text not null,
    queue text not null,
    state text not null,
    priority int not null,
    attempt int not null,
    max_attempts int not null,
    created_at timestamptz not null,
    run_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    error text,
    payload text,
    result text,
    tags text[] not null,
    idempotency_key text
) with (fillfactor = 70);
create index on cortado.projected_job (state, finished_at, id);

-- Who keeps them up, and how far. There is one row.
create table cortado.projection (
    is_only bool primary key default true check (is_only),
    holder int8,
    held_until timestamptz,
    -- The place in the log up to which the jobs are; null while they are read for the first time or again.
    cursor text,
    -- The time up to which they are.
    as_of timestamptz
) with (fillfactor = 10);
insert into cortado.projection default values;

-- An error that a later attempt has made up for is not that of the job, and neither is an earlier result.
create view cortado.jobs as
select id, kind, queue, state, priority, attempt, max_attempts, created_at, run_at, started_at, finished_at,
    case when state <> 'completed' then error end as error,
    payload,
    case when state = 'completed' then result end as result,
    tags, idempotency_key
from cortado.projected_job;

-- How far the jobs are behind; null before they are complete.
create view cortado.projection_lag as
select as_of, case when cursor is not null then greatest(clock_timestamp() - as_of, '0') end as lag, holder
from cortado.projection;
