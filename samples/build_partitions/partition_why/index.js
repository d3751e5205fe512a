// Why each partition is not live: from its own state, and from the states of those that it waits for.

map('PartitionStates', s => ({
    partition: s.partition, live: s.live,
    state: { built: s.built, tainted: s.tainted, runs: s.runs, wants: s.wants },
    absent: []
}));

// A partition that is not live tells those that need it.
map('PartitionStates', s => (s.live ? [] : s.neededBy).map(partition => ({
    partition, live: false, state: null, absent: [s.partition]
})));

groupBy(r => r.partition).aggregate(g => {
    let live = false, state = null;
    const absent = new Set();
    for (const value of g.values) {
        live = live || value.live;
        state = only(state, value.state);
        for (const name of value.absent) absent.add(name);
    }
    return { partition: g.key, live, state, absent: [...absent].sort() };
}).finalize(r => {
    const { reason, why, missing } = explain(r);
    return { partition: r.partition, live: r.live, reason, why, missing, state: r.state, absent: r.absent };
});

// A partition has one state. Were there two, the choice must not depend on which comes first.
function only(a, b) {
    if (a === null || b === null) return a ?? b;
    return JSON.stringify(a) > JSON.stringify(b) ? a : b;
}

function explain({ live, state, absent }) {
    if (live) return { reason: 'live', why: null, missing: [] };
    if (state === null) return { reason: null, why: null, missing: [] };

    const running = state.runs.filter(run => run.status === 'running');
    if (running.length > 0) {
        const why = running.map(run => `${run.run} runs since ${run.at}`).join(', ');
        return { reason: 'running', why, missing: [] };
    }

    const last = state.runs.reduce(later, null);
    if (last !== null && last.status === 'failed') {
        return { reason: 'failed', why: `${last.run} failed at ${last.at}: ${last.error}`, missing: [] };
    }
    if (last !== null) {
        const missing = last.missing.filter(name => absent.includes(name));
        return missing.length > 0
            ? { reason: 'missing inputs', why: `${last.run} needs ${missing.join(', ')}`, missing }
            : { reason: 'ready', why: `all that ${last.run} needed is there, and no run has started since`, missing };
    }

    // Live until the first taint, the partition served the wants from before it.
    const tainted = state.tainted[0] ?? null;
    const served = want => state.built !== null && tainted !== null && later(want, tainted) !== want;
    const open = state.wants.filter(want => want.open && !served(want)).map(want => want.want);
    const before = tainted === null ? '' : `tainted at ${tainted.at}: ${tainted.reason}; `;
    return open.length > 0
        ? { reason: 'wanted', why: `${before}${open.join(', ')} asked, and no run has started`, missing: [] }
        : { reason: 'nobody asked', why: `${before}nobody asks for it`, missing: [] };
}

// Of two events the one that happened later; within one instant, the one with the greater document id.
function later(a, b) {
    if (a === null || b === null) return a ?? b;
    const before = a.at.slice(0, -1), after = b.at.slice(0, -1);
    if (before !== after) return before > after ? a : b;
    return a.event > b.event ? a : b;
}
