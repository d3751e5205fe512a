// What happened to each file, as intervals of constant size and constant links, whatever the order of the events.

map('FileCreated', e => ({ file: text(e.file, 'file'), events: [event(e, 'created', null, bytes(e.size))] }));

map('FileResized', e => ({ file: text(e.file, 'file'), events: [event(e, 'resized', null, bytes(e.size))] }));

map('FileLinked', e => ({ file: text(e.file, 'file'), events: [event(e, 'linked', text(e.job, 'job'), null)] }));

map('FileUnlinked', e => ({ file: text(e.file, 'file'), events: [event(e, 'unlinked', text(e.job, 'job'), null)] }));

map('FileDeleted', e => ({ file: text(e.file, 'file'), events: [event(e, 'deleted', null, null)] }));

function event(e, kind, job, size) {
    return { at: millisecond(e.at), seq: sequence(e.seq), id: id(e), kind, job, size };
}

function text(value, name) {
    if (typeof value !== 'string') throw new Error(`${name} must be a string`);
    return value;
}

function bytes(size) {
    if (!Number.isSafeInteger(size) || size < 0) throw new Error('size must be a whole number');
    return size;
}

// The order within one instant; without it, the ids decide.
function sequence(seq) {
    const value = seq ?? 0;
    if (!Number.isSafeInteger(value)) throw new Error('seq must be a whole number');
    return value;
}

// Milliseconds since 1970 of a time such as 2026-03-01T08:00:00Z or 2026-03-01T08:00:00.125Z; what is finer is cut off.
function millisecond(at) {
    const written = text(at, 'at').slice(0, 19);
    const time = Date.parse(written + 'Z');
    const exists = !isNaN(time) && new Date(time).toISOString().slice(0, 19) === written;
    if (!exists || !/^.{19}(\.\d+)?Z$/.test(at)) throw new Error(`at must be a UTC time, but is '${at}'`);
    return time + Number((at.slice(20, -1) + '000').slice(0, 3));
}

groupBy(e => e.file).aggregate(g => {
    const events = [];
    for (const value of g.values) {
        for (const event of value.events) events.push(event);
    }
    return { file: g.key, events: events.sort(inOrder) };
}).finalize(r => ({ file: r.file, intervals: sweep(r.events) }));

function inOrder(a, b) {
    return a.at - b.at || a.seq - b.seq || (a.id < b.id ? -1 : 1);
}

// All events of one instant take effect together: what is between them never was.
function sweep(events) {
    const intervals = [];
    const links = new Map();
    let size = null, open = null;
    for (let i = 0; i < events.length; i++) {
        const event = events[i];
        size = apply(event, size, links);
        if (i + 1 < events.length && events[i + 1].at === event.at) continue;

        const jobs = [...links].map(([job, since]) => ({ job, since })).sort((a, b) => a.job < b.job ? -1 : 1);
        if (open !== null && size === open.size && same(jobs, open.jobs)) continue;
        if (open !== null) open.to = event.at;
        open = size === null ? null : { from: event.at, to: null, size, jobs };
        if (open !== null) intervals.push(open);
    }
    return intervals;
}

// The size after an event, null where the file is not there; changes the links.
function apply(event, size, links) {
    switch (event.kind) {
        case 'created': return event.size;
        case 'resized': return size === null ? null : event.size;
        case 'linked': if (!links.has(event.job)) links.set(event.job, event.at); return size;
        case 'unlinked': links.delete(event.job); return size;
        default: links.clear(); return null;
    }
}

function same(a, b) {
    return a.length === b.length && a.every((link, i) => link.job === b[i].job && link.since === b[i].since);
}
