// The files linked to each job now, whatever the order in which the events arrive.

map('FileLinked', e => ({
    job: text(e.job, 'job'), cleared: null,
    latest: [{ file: text(e.file, 'file'), linked: true, at: utc(e.at), event: id(e) }]
}));

map('FileUnlinked', e => ({
    job: text(e.job, 'job'), cleared: null,
    latest: [{ file: text(e.file, 'file'), linked: false, at: utc(e.at), event: id(e) }]
}));

map('AllFilesUnlinked', e => ({
    job: text(e.job, 'job'),
    cleared: { at: utc(e.at), event: id(e) },
    latest: []
}));

function text(value, name) {
    if (typeof value !== 'string') throw new Error(`${name} must be a string`);
    return value;
}

// Checks a time such as 2026-03-01T08:00:00Z (or with a fraction of a second) and gives it back.
function utc(at) {
    const written = text(at, 'at').slice(0, 19);
    const time = Date.parse(written + 'Z');
    const exists = !isNaN(time) && new Date(time).toISOString().slice(0, 19) === written;
    if (!exists || !/^.{19}(\.\d+)?Z$/.test(at)) throw new Error(`at must be a UTC time, but is '${at}'`);
    return at;
}

groupBy(e => e.job).aggregate(g => {
    const byFile = new Map();
    let cleared = null;
    for (const value of g.values) {
        cleared = later(cleared, value.cleared);
        for (const event of value.latest) {
            byFile.set(event.file, later(byFile.get(event.file) ?? null, event));
        }
    }

    // An unlinked file is remembered, for an older link of it may still arrive. Clearing forgets all before it.
    const latest = [...byFile.values()]
        .filter(event => later(event, cleared) === event)
        .sort((a, b) => a.file < b.file ? -1 : 1);
    return { job: g.key, cleared, latest };
}).finalize(job => {
    const files = job.latest.filter(event => event.linked).map(event => event.file);
    return { job: job.job, files, count: files.length, cleared: job.cleared, latest: job.latest };
});

// Of two events the one that happened later; within one instant, the one with the greater document id.
function later(a, b) {
    if (a === null || b === null) return a ?? b;
    const before = a.at.slice(0, -1), after = b.at.slice(0, -1);
    if (before !== after) return before > after ? a : b;
    return a.event > b.event ? a : b;
}
