// What is known of each partition: whether it is live, the runs and wants since its last build, and who needs it.

map('WantCreated', e => list(e.partitions, 'partitions').map(partition => ({
    partition, live: false, built: null, tainted: [], runs: [],
    wants: [{ want: text(e.want, 'want'), open: true, at: utc(e.at), event: id(e) }],
    neededBy: []
})));

map('WantCancelled', e => list(e.partitions, 'partitions').map(partition => ({
    partition, live: false, built: null, tainted: [], runs: [],
    wants: [{ want: text(e.want, 'want'), open: false, at: utc(e.at), event: id(e) }],
    neededBy: []
})));

map('JobRunStarted', e => list(e.partitions, 'partitions').map(partition => ({
    partition, live: false, built: null, tainted: [],
    runs: [{ run: text(e.run, 'run'), status: 'running', error: null, missing: [], at: utc(e.at), event: id(e) }],
    wants: [], neededBy: []
})));

map('JobRunFailed', e => list(e.partitions, 'partitions').map(partition => ({
    partition, live: false, built: null, tainted: [],
    runs: [{
        run: text(e.run, 'run'), status: 'failed', error: text(e.error, 'error'), missing: [], at: utc(e.at), event: id(e)
    }],
    wants: [], neededBy: []
})));

map('JobRunMissingInputs', e => list(e.partitions, 'partitions').map(partition => ({
    partition, live: false, built: null, tainted: [],
    runs: [{
        run: text(e.run, 'run'), status: 'missing inputs', error: null, missing: list(e.missing, 'missing'),
        at: utc(e.at), event: id(e)
    }],
    wants: [], neededBy: []
})));

// Each missing input is told who needs it: its own row then says so, also when nothing else is known of it.
map('JobRunMissingInputs', e => list(e.missing, 'missing').map(partition => ({
    partition, live: false, built: null, tainted: [], runs: [], wants: [],
    neededBy: list(e.partitions, 'partitions')
})));

map('JobRunSucceeded', e => list(e.partitions, 'partitions').map(partition => ({
    partition, live: false,
    built: { run: text(e.run, 'run'), at: utc(e.at), event: id(e) },
    tainted: [], runs: [], wants: [], neededBy: []
})));

map('PartitionTainted', e => ({
    partition: text(e.partition, 'partition'), live: false, built: null,
    tainted: [{ reason: text(e.reason, 'reason'), at: utc(e.at), event: id(e) }],
    runs: [], wants: [], neededBy: []
}));

function text(value, name) {
    if (typeof value !== 'string') throw new Error(`${name} must be a string`);
    return value;
}

function list(value, name) {
    if (!Array.isArray(value) || value.length === 0) throw new Error(`${name} must be an array of strings`);
    return value.map(item => text(item, name));
}

// Checks a time such as 2026-03-01T08:00:00Z (or with a fraction of a second) and gives it back.
function utc(at) {
    const written = text(at, 'at').slice(0, 19);
    const time = Date.parse(written + 'Z');
    const exists = !isNaN(time) && new Date(time).toISOString().slice(0, 19) === written;
    if (!exists || !/^.{19}(\.\d+)?Z$/.test(at)) throw new Error(`at must be a UTC time, but is '${at}'`);
    return at;
}

groupBy(s => s.partition).aggregate(g => {
    const runs = new Map(), wants = new Map(), taints = new Map(), neededBy = new Set();
    let built = null;
    for (const value of g.values) {
        built = later(built, value.built);
        for (const taint of value.tainted) taints.set(taint.event, taint);
        for (const run of value.runs) runs.set(run.run, later(runs.get(run.run) ?? null, run));
        for (const want of value.wants) wants.set(want.want, later(wants.get(want.want) ?? null, want));
        for (const name of value.neededBy) neededBy.add(name);
    }

    // A build settles all that was before it, now and when it arrives later.
    const unsettled = event => later(event, built) === event;
    const tainted = [...taints.values()].filter(unsettled).sort((a, b) => later(a, b) === b ? -1 : 1);

    return {
        partition: g.key,
        live: built !== null && tainted.length === 0,
        built,
        tainted,
        runs: [...runs.values()].filter(unsettled).sort((a, b) => a.run < b.run ? -1 : 1),
        wants: [...wants.values()].filter(unsettled).sort((a, b) => a.want < b.want ? -1 : 1),
        neededBy: [...neededBy].sort()
    };
});

// Of two events the one that happened later; within one instant, the one with the greater document id.
function later(a, b) {
    if (a === null || b === null) return a ?? b;
    const before = a.at.slice(0, -1), after = b.at.slice(0, -1);
    if (before !== after) return before > after ? a : b;
    return a.event > b.event ? a : b;
}
