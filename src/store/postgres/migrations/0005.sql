-- Writes a batch that begins with a chunk, if the log ends before it: one call is one round trip, and a session plans these
-- statements once, also behind a pooler. Returns the number and the group of the first chunk if the batch was written.
-- Otherwise nothing was written, and the chunk before it and those that are there in its place are returned.
--
-- The unique index decides between processes: whoever comes second waits until the first one's transaction has ended, inserts
-- nothing, and then reads what the first one has written.
--
-- The chunk is not inserted either when a newer version has changed the schema, when the server was replaced by another one,
-- or when the chunk before it is not there or is another one than the process has read: then commits are missing, and the
-- batch was decided on a history that no longer exists.
create function cortado.append(
    numbers int8[],
    group_id uuid,
    bodies bytea[],
    -- The rows that are stored and removed with the chunks, and the chunks that are removed.
    keys bytea[],
    vals bytea[],
    removed_keys bytea[],
    removed_chunks int8[],
    -- The rows of the inbox that the batch takes. All of them have to be there.
    taken uuid[],
    -- The group that wrote the chunk before, if the process has read that.
    previous uuid,
    -- The newest format that the process understands.
    newest_format int8,
    -- The server on which the epoch began, as it is stored and by its timeline. Null means any server.
    stored_server text,
    timeline text,
    -- What the other processes are told; null if they need not be told yet.
    notification text
) returns table (number int8, grp uuid, body bytea)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    first constant int8 := numbers[1];
    can_append bool := true;
    there int8;
begin
    -- A commit must be durable, whatever the user's or the database's defaults are. This is set for the transaction only,
    -- because a pooler would pass a setting of the session on to others. `local` and `remote_write` are durable on this
    -- server; whoever sets them has decided about the standbys.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    -- Some managed services do not let their users call these functions.
    if timeline is not null then
        can_append := timeline = left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
    end if;
    if can_append and cardinality(taken) > 0 then
        -- They are locked, so that nobody removes them before the batch does.
        select count(*) into there
        from (select from cortado.inbox where id = any (taken) order by id for update) as locked;
        can_append := there = cardinality(taken);
    end if;
    if can_append then
        insert into cortado.chunk (number, grp, body)
        select first, group_id, bodies[1]
        where (select value::int8 <= newest_format from cortado.meta where key = 'format')
        and (stored_server is null or (select value = stored_server from cortado.meta where key = 'server'))
        and coalesce(
            (select previous is null or grp = previous from cortado.chunk where number = first - 1),
            previous is null and not exists (select from cortado.chunk)
        )
        on conflict do nothing;
        if found then
            if cardinality(numbers) > 1 then
                insert into cortado.chunk (number, grp, body)
                select further, group_id, content
                from unnest(numbers[2:], bodies[2:]) as new (further, content);
            end if;
            if cardinality(keys) > 0 then
                insert into cortado.row (key, value)
                select stored.key, stored.value from unnest(keys, vals) as stored (key, value)
                on conflict on constraint row_pkey do update set value = excluded.value;
            end if;
            if cardinality(removed_keys) > 0 then
                delete from cortado.row where key = any (removed_keys);
            end if;
            if cardinality(removed_chunks) > 0 then
                delete from cortado.chunk where number = any (removed_chunks);
            end if;
            if cardinality(taken) > 0 then
                delete from cortado.inbox where id = any (taken);
            end if;
            if notification is not null then
                perform pg_notify('cortado', notification);
            end if;
            return query select first, group_id, null::bytea;
            return;
        end if;
    end if;
    -- At most eight of them, because they may be long. If there are more, the next try returns those.
    return query
    select number, grp, case when number >= first then body end from cortado.chunk
    where number >= first - 1 order by number limit 9;
end $$;

-- Reads chunks in order: at most so many, and no more once they have so many bytes together. Their sizes are known without
-- reading them.
create function cortado.read_chunks(from_number int8, before_number int8, most_rows int8, most_bytes int8)
returns table (number int8, grp uuid, body bytea)
language plpgsql stable as $$
#variable_conflict use_column
begin
    return query
    select number, grp, body from (
        select number, grp, body,
            sum(octet_length(body)) over (order by number) - octet_length(body) as bytes_before
        from (
            select number, grp, body from cortado.chunk
            where number >= from_number and (before_number is null or number < before_number)
            order by number limit most_rows
        ) as page
    ) as sized
    where bytes_before < most_bytes order by number;
end $$;
