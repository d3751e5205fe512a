// RavenDB's own Node client, unmodified, against a running Magpie: what a user of it does in a day.
//
// MAGPIE_URL is the server, MAGPIE_CLIENT the package to load (its module path decides the version).
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { after, before, describe, it } = require("node:test");
const raven = require(process.env.MAGPIE_CLIENT);

const url = process.env.MAGPIE_URL;
const name = `story-${path.basename(process.env.MAGPIE_CLIENT)}-${process.pid}`;
let store;

class Employee {
    constructor(fields) {
        Object.assign(this, fields);
    }
}

class Order {
    constructor(fields) {
        Object.assign(this, fields);
    }
}

async function read(stream) {
    const parts = [];
    for await (const part of stream) {
        parts.push(Buffer.from(part));
    }
    return Buffer.concat(parts);
}

async function inSession(work, options) {
    const session = options ? store.openSession(options) : store.openSession();
    const result = await work(session);
    session.dispose();
    return result;
}

async function newDatabase(database) {
    await store.maintenance.server.send(new raven.CreateDatabaseOperation({ databaseName: database }));
}

before(async () => {
    store = new raven.DocumentStore(url, name);
    store.conventions.registerEntityType(Employee);
    store.conventions.registerEntityType(Order);
    store.initialize();
    await newDatabase(name);
});

after(async () => {
    await store.maintenance.server.send(
        new raven.DeleteDatabasesOperation({ databaseNames: [name], hardDelete: true })
    );
    store.dispose();
});

describe("databases", () => {
    it("are created, listed and deleted", async () => {
        const other = `${name}-other`;
        await newDatabase(other);
        const names = await store.maintenance.server.send(new raven.GetDatabaseNamesOperation(0, 100));
        assert.ok(names.includes(other) && names.includes(name));
        await assert.rejects(newDatabase(other), { name: "ConcurrencyException" });
        await store.maintenance.server.send(
            new raven.DeleteDatabasesOperation({ databaseNames: [other], hardDelete: true })
        );
        const left = await store.maintenance.server.send(new raven.GetDatabaseNamesOperation(0, 100));
        assert.ok(!left.includes(other));
        const session = store.openSession(other);
        await assert.rejects(session.load("employees/1-A"), { name: "DatabaseDoesNotExistException" });
    });
});

describe("sessions", () => {
    it("store with ids of their own, load with includes, and follow changes", async () => {
        const ids = await inSession(async session => {
            const manager = new Employee({ name: "Ann", salary: 10 });
            await session.store(manager);
            const worker = new Employee({ name: "Bob", salary: 5, manager: manager.id });
            await session.store(worker);
            await session.saveChanges();
            return [manager.id, worker.id];
        });
        assert.match(ids[0], /^employees\/\d+-A$/);
        await inSession(async session => {
            const worker = await session.include("manager").load(ids[1], Employee);
            assert.equal(session.advanced.requestExecutor !== undefined, true);
            const before = session.advanced.numberOfRequests;
            const manager = await session.load(worker.manager, Employee);
            assert.equal(session.advanced.numberOfRequests, before, "the manager came along");
            assert.ok(manager instanceof Employee && manager.name === "Ann");
            worker.salary += 1;
            assert.ok(session.advanced.hasChanges());
            await session.saveChanges();
        });
        await inSession(async session => {
            const several = await session.load([...ids, "employees/none"], Employee);
            assert.equal(several[ids[1]].salary, 6);
            assert.equal(several["employees/none"], null);
            const metadata = session.advanced.getMetadataFor(several[ids[0]]);
            assert.equal(metadata["@collection"], "Employees");
            assert.equal(await session.advanced.exists("employees/none"), false);
            const found = await session.advanced.loadStartingWith("employees/", { documentType: Employee });
            assert.equal(found.length, 2);
            await session.delete(ids[1]);
            await session.saveChanges();
        });
        assert.equal(await inSession(session => session.load(ids[1])), null);
    });

    it("notice that somebody else was faster", async () => {
        await inSession(async session => {
            await session.store(new Employee({ name: "Cleo" }), "employees/cleo");
            await session.saveChanges();
        });
        const slow = store.openSession();
        slow.advanced.useOptimisticConcurrency = true;
        const seen = await slow.load("employees/cleo", Employee);
        await inSession(async session => {
            (await session.load("employees/cleo", Employee)).name = "Cleopatra";
            await session.saveChanges();
        });
        seen.name = "Clio";
        await assert.rejects(slow.saveChanges(), { name: "ConcurrencyException" });
        assert.equal((await inSession(session => session.load("employees/cleo"))).name, "Cleopatra");
    });

    it("load lazily in one request", async () => {
        await inSession(async session => {
            const one = session.advanced.lazily.load("employees/cleo", Employee);
            const all = session.query(Employee).waitForNonStaleResults().lazily();
            const before = session.advanced.numberOfRequests;
            await session.advanced.eagerly.executeAllPendingLazyOperations();
            assert.equal(session.advanced.numberOfRequests, before + 1);
            assert.equal((await one.getValue()).name, "Cleopatra");
            assert.equal((await all.getValue()).length, 2);
        });
    });
});

describe("queries", () => {
    before(async () => {
        await inSession(async session => {
            for (let n = 0; n < 20; n++) {
                const lines = [{ product: `products/${n % 3}`, quantity: n }];
                await session.store(
                    new Order({ company: `companies/${n % 4}`, freight: n + 0.5, note: `Order number ${n}`, lines }),
                    `orders/${n}`
                );
            }
            await session.saveChanges({ waitForIndexes: true });
        });
    });

    const orders = session => session.query({ collection: "Orders" }).waitForNonStaleResults();

    it("filter, sort, page and count", async () => {
        await inSession(async session => {
            let stats;
            const found = await orders(session)
                .statistics(s => { stats = s; })
                .whereEquals("company", "COMPANIES/1")
                .whereGreaterThan("freight", 2)
                .orderByDescending("freight", "Double")
                .skip(1)
                .take(2)
                .all();
            assert.deepEqual(found.map(order => order.freight), [13.5, 9.5]);
            assert.equal(stats.totalResults, 4);
            assert.equal(await orders(session).whereIn("company", ["companies/2", "companies/3"]).count(), 10);
            assert.equal(await orders(session).whereStartsWith("company", "nobody").any(), false);
            assert.equal((await orders(session).whereBetween("freight", 3, 4).first()).freight, 3.5);
            assert.equal((await orders(session).search("note", "seven 7").all()).length, 1);
            await assert.rejects(orders(session).single(), { name: "InvalidOperationException" });
        });
    });

    it("take raw RQL with parameters, projections and JavaScript", async () => {
        await inSession(async session => {
            const raw = await session.advanced
                .rawQuery("from Orders where freight < $max order by freight as double select company, freight as cost")
                .addParameter("max", 3)
                .all();
            assert.deepEqual(raw.map(row => [row.company, row.cost]), [
                ["companies/0", 0.5], ["companies/1", 1.5], ["companies/2", 2.5]
            ]);
            const made = await session.advanced
                .rawQuery("declare function twice(x) { return 2 * x; } from Orders as o where o.freight < 1 select { twice: twice(o.freight), n: o.lines.length }")
                .all();
            assert.deepEqual(made.map(row => [row.twice, row.n]), [[1, 1]]);
            const fields = await orders(session).selectFields(["company"]).distinct().all();
            assert.equal(fields.length, 4);
        });
    });

    it("group and count facets", async () => {
        await inSession(async session => {
            const groups = await orders(session)
                .groupBy("company")
                .selectKey()
                .selectSum(new raven.GroupByField("freight", "total"))
                .all();
            const counts = await orders(session).groupBy("company").selectKey().selectCount().all();
            assert.equal(groups.length, 4);
            const first = groups.find(group => group.company === "companies/0");
            assert.equal(first.total, 0.5 + 4.5 + 8.5 + 12.5 + 16.5);
            assert.deepEqual(counts.map(group => group.count), [5, 5, 5, 5]);
            const facets = await orders(session).aggregateBy(f => f.byField("company").sumOn("freight")).execute();
            assert.equal(facets.company.values.length, 4);
        });
    });

    it("say what is wrong with them", async () => {
        await inSession(async session => {
            await assert.rejects(
                session.advanced.rawQuery("from Orders where").all(),
                error => /InvalidQueryException|RavenException/.test(error.name)
            );
            await assert.rejects(session.query({ indexName: "Nope" }).all(), { name: "IndexDoesNotExistException" });
        });
    });
});

describe("indexes", () => {
    it("map, reduce and are waited for", async () => {
        const definition = new raven.IndexDefinition();
        definition.name = "Orders/ByCompany";
        definition.maps = new Set(["map('Orders', o => ({ company: o.company, count: 1, total: o.freight }))"]);
        definition.reduce =
            "groupBy(r => r.company).aggregate(g => ({ company: g.key, count: g.values.reduce((n, v) => n + v.count, 0), total: g.values.reduce((n, v) => n + v.total, 0) }))";
        await store.maintenance.send(new raven.PutIndexesOperation(definition));
        await inSession(async session => {
            const found = await session
                .query({ indexName: "Orders/ByCompany" })
                .waitForNonStaleResults()
                .whereEquals("company", "companies/2")
                .all();
            assert.deepEqual(found.map(row => [row.count, row.total]), [[5, 2.5 + 6.5 + 10.5 + 14.5 + 18.5]]);
        });
        const kept = await store.maintenance.send(new raven.GetIndexOperation("Orders/ByCompany"));
        assert.equal(kept.name, "Orders/ByCompany");
        const stats = await store.maintenance.send(new raven.GetIndexStatisticsOperation("Orders/ByCompany"));
        assert.equal(stats.entriesCount, 4);
        const names = await store.maintenance.send(new raven.GetIndexNamesOperation(0, 10));
        assert.deepEqual(names.filter(name => !name.startsWith("Auto/")), ["Orders/ByCompany"]);
        await store.maintenance.send(new raven.StopIndexOperation("Orders/ByCompany"));
        await store.maintenance.send(new raven.StartIndexOperation("Orders/ByCompany"));
        await store.maintenance.send(new raven.ResetIndexOperation("Orders/ByCompany"));
        await store.maintenance.send(new raven.DeleteIndexOperation("Orders/ByCompany"));
        assert.ok(!(await store.maintenance.send(new raven.GetIndexOperation("Orders/ByCompany"))));
    });

    it("are made for what queries ask", async () => {
        let told;
        await inSession(async session => {
            const found = session.query({ collection: "Orders" }).statistics(statistics => (told = statistics));
            assert.ok((await found.whereGreaterThan("freight", 2).orderBy("company").all()).length > 10);
        });
        assert.match(told.indexName, /^Auto\/Orders\/By.*companyAnd.*freight/);
        assert.equal(told.isStale, false);
        const kept = await store.maintenance.send(new raven.GetIndexOperation(told.indexName));
        assert.deepEqual([kept.name, kept.type], [told.indexName, "AutoMap"]);
        const statistics = await store.maintenance.send(new raven.GetStatisticsOperation());
        const listed = statistics.indexes.find(index => index.name === told.indexName);
        assert.deepEqual([listed.type, listed.state], ["AutoMap", "Normal"]);
        await store.maintenance.send(new raven.DeleteIndexOperation(told.indexName));
        assert.ok(!(await store.maintenance.send(new raven.GetIndexOperation(told.indexName))));
    });

    it("mark what was found, and find what is alike", async () => {
        const definition = new raven.IndexDefinition();
        definition.name = "Notes/ByText";
        definition.maps = new Set(["map('Notes', n => ({ text: n.text }))"]);
        definition.fields = { text: { indexing: "Search", storage: "Yes", termVector: "WithPositionsAndOffsets" } };
        await store.maintenance.send(new raven.PutIndexesOperation(definition));
        const texts = ["the quick brown fox", "a red fox and a red dog", "nothing at all"];
        await inSession(async session => {
            for (const [number, text] of texts.entries()) {
                await session.store({ text, "@metadata": { "@collection": "Notes" } }, `notes/${number}`);
            }
            await session.saveChanges();
        });
        await inSession(async session => {
            let marks;
            const parameters = { fieldName: "text", fragmentLength: 18, fragmentCount: 2, preTags: ["<"], postTags: [">"] };
            const found = await session
                .query({ indexName: "Notes/ByText" })
                .waitForNonStaleResults()
                .highlight(parameters, told => (marks = told))
                .search("text", "fox")
                .all();
            assert.deepEqual(found.map(note => note.id).sort(), ["notes/0", "notes/1"]);
            assert.deepEqual(marks.getFragments("notes/0"), ["quick brown <fox>"]);
            assert.deepEqual(marks.getFragments("notes/1"), ["red <fox> and a red"]);
        });
        await inSession(async session => {
            const options = { minimumTermFrequency: 1, minimumDocumentFrequency: 1 };
            const like = base =>
                session
                    .query({ indexName: "Notes/ByText" })
                    .moreLikeThis(f => f.usingDocument(base).withOptions(options))
                    .all();
            const others = await like(query => query.whereEquals("id()", "notes/0"));
            assert.deepEqual(others.map(note => note.id), ["notes/1"]);
            const alike = await like(JSON.stringify({ text: "dog and nothing" }));
            assert.deepEqual(alike.map(note => note.id).sort(), ["notes/1", "notes/2"]);
        });
    });

    it("refuse what does not compile", async () => {
        const definition = new raven.IndexDefinition();
        definition.name = "Broken";
        definition.maps = new Set(["map('Orders', o => ({ a: ))"]);
        await assert.rejects(
            store.maintenance.send(new raven.PutIndexesOperation(definition)),
            error => /Exception$/.test(error.name) && /unexpected token '\)'.*line 1, column 26/.test(error.message)
        );
    });
});

describe("patches", () => {
    it("run in a session, alone, and by query", async () => {
        await inSession(async session => {
            session.advanced.patch("orders/0", "freight", 100);
            session.advanced.increment("orders/1", "freight", 10);
            await session.saveChanges();
        });
        await inSession(async session => {
            assert.equal((await session.load("orders/0")).freight, 100);
            assert.equal((await session.load("orders/1")).freight, 11.5);
        });
        const request = new raven.PatchRequest();
        request.script = "this.freight += args.more;";
        request.values = { more: 5 };
        const patched = await store.operations.send(new raven.PatchOperation("orders/1", null, request));
        assert.equal(patched.status ?? patched, "Patched");
        const byQuery = await store.operations.send(
            new raven.PatchByQueryOperation("from Orders as o where o.company = 'companies/3' update { o.closed = true; }")
        );
        await byQuery.waitForCompletion();
        await inSession(async session => {
            assert.equal((await session.load("orders/1")).freight, 16.5);
            const closed = session.query({ collection: "Orders" }).waitForNonStaleResults();
            assert.equal(await closed.whereEquals("closed", true).count(), 5);
        });
        const deleted = await store.operations.send(
            new raven.DeleteByQueryOperation(new raven.IndexQuery("from Orders where closed = true"))
        );
        await deleted.waitForCompletion();
        await inSession(async session => {
            assert.equal(await session.query({ collection: "Orders" }).waitForNonStaleResults().count(), 15);
        });
    });
});

describe("many documents", () => {
    for (const useCompression of [false, true]) {
        it(`go in with a bulk insert${useCompression ? ", compressed" : ""}, and come out as a stream`, async () => {
            const kind = useCompression ? "zipped" : "plain";
            const bulk = store.bulkInsert({ useCompression });
            for (let n = 0; n < 3000; n++) {
                await bulk.store({ n, kind, "@metadata": { "@collection": "Things" } }, `${kind}/${n}`);
            }
            await bulk.finish();
            const session = store.openSession();
            let sum = 0;
            for await (const row of await session.advanced.stream(`${kind}/`)) {
                sum += row.document.n;
            }
            assert.equal(sum, (3000 * 2999) / 2);
            const query = session.query({ collection: "@all_docs" }).whereEquals("kind", kind);
            let count = 0;
            for await (const row of await session.advanced.stream(query)) {
                assert.equal(row.document.kind, kind);
                count += 1;
            }
            assert.equal(count, 3000);
        });
    }
});

describe("attachments", () => {
    it("are stored, listed, read and deleted", async () => {
        await inSession(async session => {
            const order = await session.load("orders/2");
            session.advanced.attachments.store(order, "scan.txt", Buffer.from("a scan"), "text/plain");
            await session.saveChanges();
        });
        await inSession(async session => {
            const order = await session.load("orders/2");
            const names = session.advanced.attachments.getNames(order);
            assert.deepEqual(names.map(found => [found.name, found.size]), [["scan.txt", 6]]);
            assert.equal(await session.advanced.attachments.exists("orders/2", "scan.txt"), true);
            const found = await session.advanced.attachments.get("orders/2", "scan.txt");
            assert.equal((await read(found.data)).toString(), "a scan");
            assert.equal(found.details.contentType, "text/plain");
            found.dispose();
            session.advanced.attachments.delete("orders/2", "scan.txt");
            await session.saveChanges();
            assert.equal(await session.advanced.attachments.get("orders/2", "scan.txt"), null);
        });
    });
});

describe("compare-exchange", () => {
    it("changes only for who knows the index", async () => {
        const put = (value, index) =>
            store.operations.send(new raven.PutCompareExchangeValueOperation("emails/ann", value, index));
        const made = await put("employees/1", 0);
        assert.equal(made.successful, true);
        assert.equal((await put("employees/2", 0)).successful, false);
        const found = await store.operations.send(new raven.GetCompareExchangeValueOperation("emails/ann"));
        assert.equal(found.value, "employees/1");
        assert.equal((await put("employees/2", found.index)).successful, true);
    });
});

describe("changes", () => {
    it("tell of documents and indexes", async () => {
        const changes = store.changes();
        await changes.ensureConnectedNow();
        const seen = [];
        const told = new Promise(resolve => {
            changes.forDocument("orders/4").on("data", change => {
                seen.push([change.id, change.type]);
                if (seen.length === 2) {
                    resolve();
                }
            });
        });
        const inCollection = new Promise(resolve => {
            changes.forDocumentsInCollection("Orders").on("data", resolve);
        });
        await changes.ensureConnectedNow();
        await inSession(async session => {
            (await session.load("orders/4")).note = "changed";
            await session.saveChanges();
            await session.delete("orders/4");
            await session.saveChanges();
        });
        await told;
        assert.deepEqual(seen, [["orders/4", "Put"], ["orders/4", "Delete"]]);
        assert.equal((await inCollection).collectionName, "Orders");
        changes.dispose();
    });
});

describe("cluster-wide sessions", () => {
    const options = { transactionMode: "ClusterWide" };

    it("write documents and values together, and guard the documents", async () => {
        await inSession(async session => {
            session.advanced.clusterTransaction.createCompareExchangeValue("names/guard", { held: 1 });
            await session.store(new Employee({ name: "Guarded" }), "employees/guard");
            await session.saveChanges();
        }, options);
        await inSession(async session => {
            const value = await session.advanced.clusterTransaction.getCompareExchangeValue("names/guard");
            assert.equal(value.value.held, 1);
            const employee = await session.load("employees/guard");
            await inSession(async other => {
                (await other.load("employees/guard")).name = "Faster";
                await other.saveChanges();
            }, options);
            employee.name = "Slower";
            await assert.rejects(session.saveChanges(), { name: "ClusterTransactionConcurrencyException" });
        }, options);
        await assert.rejects(
            inSession(async session => {
                await session.store(new Employee({ name: "New" }), "employees/guard");
                await session.saveChanges();
            }, options),
            { name: "ClusterTransactionConcurrencyException" }
        );
        await inSession(async session => {
            await session.delete(await session.load("employees/guard"));
            await session.saveChanges();
        }, options);
    });
});

describe("maintenance", () => {
    it("has an answer to what clients ask", async () => {
        const send = operation => store.maintenance.send(operation);
        const identities = await send(new raven.GetIdentitiesOperation());
        const next = await send(new raven.NextIdentityForOperation("invoices|"));
        assert.equal(await send(new raven.SeedIdentityForOperation("invoices|", next + 10)), next + 10);
        const detailed = await send(new raven.GetDetailedStatisticsOperation());
        assert.equal(detailed.countOfIdentities, Object.keys(identities).length + 1);
        assert.ok(detailed.countOfCompareExchange >= 1);
        const collections = (await send(new raven.GetDetailedCollectionStatisticsOperation())).collections;
        assert.ok(collections.employees.countOfDocuments >= 1);
        const definition = new raven.IndexDefinition();
        const index = (definition.name = "Employees/ByName");
        definition.maps = new Set(["map('Employees', e => ({ name: e.name }))"]);
        await send(new raven.PutIndexesOperation(definition));
        assert.ok((await send(new raven.GetIndexNamesOperation(0, 100))).includes(index));
        assert.equal((await send(new raven.GetIndexStatisticsOperation(index))).name, index);
        assert.equal((await send(new raven.GetIndexErrorsOperation([index])))[0].name, index);
        await send(new raven.DisableIndexOperation(index));
        assert.equal((await send(new raven.GetIndexStatisticsOperation(index))).state, "Disabled");
        await send(new raven.EnableIndexOperation(index));
        await send(new raven.DeleteIndexOperation(index));
        assert.equal(await inSession(session => session.load("employees/nobody")), null);
    });

    it("switches a database off and on, and nothing is lost", async () => {
        const toggle = disable => store.maintenance.server.send(new raven.ToggleDatabasesStateOperation(name, disable));
        assert.equal((await toggle(true)).success, true);
        await assert.rejects(inSession(session => session.load("employees/cleo")), {
            name: "DatabaseDisabledException",
        });
        assert.equal((await toggle(false)).success, true);
        assert.equal((await inSession(session => session.load("employees/cleo"))).name, "Cleopatra");
    });
});

describe("counters", () => {
    const values = { likes: 5, "Dis Likes": -2 };
    const requests = session => session.advanced.numberOfRequests;

    before(async () => {
        await inSession(async session => {
            await session.store(new Employee({ name: "Counted" }), "employees/counted");
            const counters = session.countersFor("employees/counted");
            counters.increment("likes", 3);
            counters.increment("Dis Likes", -2);
            await session.saveChanges();
        });
        await inSession(async session => {
            const employee = await session.load("employees/counted");
            session.countersFor(employee).increment("LIKES", 2);
            await session.saveChanges();
        });
    });

    it("are added to, read and deleted", async () => {
        await inSession(async session => {
            const counters = session.countersFor("employees/counted");
            assert.equal(await counters.get("likes"), 5);
            assert.equal(await counters.get("nothing"), null);
            assert.deepEqual({ ...(await counters.getAll()) }, values);
        });
        await inSession(async session => {
            const employee = await session.load("employees/counted");
            assert.deepEqual(session.advanced.getCountersFor(employee), ["Dis Likes", "likes"]);
            const counters = session.countersFor(employee);
            counters.increment("temporary");
            await session.saveChanges();
            assert.equal(await counters.get("temporary"), 1);
            counters.delete("temporary");
            await session.saveChanges();
        });
        await inSession(async session => {
            assert.equal(await session.countersFor("employees/counted").get("temporary"), null);
        });
    });

    it("of a document that is not there are refused", async () => {
        await inSession(async session => {
            session.countersFor("employees/nobody").increment("likes");
            await assert.rejects(session.saveChanges(), { name: "DocumentDoesNotExistException" });
        });
    });

    it("come along with documents that are loaded", async () => {
        await inSession(async session => {
            const employee = await session.load("employees/counted", { includes: b => b.includeCounter("likes") });
            assert.equal(requests(session), 1);
            assert.equal(await session.countersFor(employee).get("likes"), 5);
            assert.equal(requests(session), 1);
        });
        await inSession(async session => {
            const employee = await session.load("employees/counted", { includes: b => b.includeAllCounters() });
            assert.deepEqual({ ...(await session.countersFor(employee).getAll()) }, values);
            assert.equal(requests(session), 1);
        });
    });

    it("come along with queries and stand in their rows", async () => {
        await inSession(async session => {
            const found = await session
                .query({ collection: "Employees" })
                .whereEquals("name", "Counted")
                .include(b => b.includeCounters(["likes", "Dis Likes"]))
                .all();
            const before = requests(session);
            const counters = session.countersFor(found[0]);
            assert.deepEqual([await counters.get("likes"), await counters.get("dis likes")], [5, -2]);
            assert.equal(requests(session), before);
        });
        await inSession(async session => {
            const rows = await session.advanced
                .rawQuery("from Employees as e where id() = 'employees/counted' select counter(e, 'likes') as likes")
                .all();
            assert.equal(rows[0].likes, 5);
        });
    });

    it("are changed and read by operations", async () => {
        const operation = new raven.DocumentCountersOperation();
        operation.documentId = "employees/counted";
        operation.operations = [
            raven.CounterOperation.create("by-operation", "Increment", 7),
            raven.CounterOperation.create("likes", "Get"),
        ];
        const batch = new raven.CounterBatch();
        batch.documents = [operation];
        const changed = await store.operations.send(new raven.CounterBatchOperation(batch));
        assert.deepEqual(changed.counters.map(counter => counter.totalValue), [7, 5]);
        const send = (names, full) => store.operations.send(new raven.GetCountersOperation("employees/counted", names, full));
        const read = await send(["likes", "nothing", "by-operation"]);
        assert.deepEqual(read.counters.map(counter => counter && counter.totalValue), [5, null, 7]);
        const [full] = (await send(["likes"], true)).counters;
        assert.deepEqual(Object.values(full.counterValues), [5]);
        await inSession(async session => {
            session.countersFor("employees/counted").delete("by-operation");
            await session.saveChanges();
        });
    });

    it("are added to by patches and bulk inserts", async () => {
        await inSession(async session => {
            await session.store(new Employee({ name: "Patched" }), "employees/patched");
            await session.saveChanges();
        });
        const script = "incrementCounter(this, 'seen', args.by); this.before = counter(this, 'seen')";
        const patch = raven.PatchRequest.forScript(script);
        patch.values = { by: 4 };
        await store.operations.send(new raven.PatchOperation("employees/patched", null, patch));
        const bulk = store.bulkInsert();
        const counters = bulk.countersFor("employees/patched");
        await counters.increment("seen", 2);
        await counters.increment("other");
        await bulk.finish();
        await inSession(async session => {
            assert.equal((await session.load("employees/patched")).before, 4);
            const all = await session.countersFor("employees/patched").getAll();
            assert.deepEqual({ ...all }, { other: 1, seen: 6 });
        });
        const stats = await store.maintenance.send(new raven.GetStatisticsOperation());
        assert.equal(stats.countOfCounterEntries, 2);
    });

    it("go and come with dumps", async () => {
        const copy = `${name}-counted`;
        await newDatabase(copy);
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "magpie-")), "counted.ravendbdump");
        const out = await store.smuggler.export(new raven.DatabaseSmugglerExportOptions(), file);
        await out.waitForCompletion();
        const into = await store.smuggler.forDatabase(copy).import(new raven.DatabaseSmugglerImportOptions(), file);
        await into.waitForCompletion();
        const session = store.openSession(copy);
        assert.deepEqual({ ...(await session.countersFor("employees/counted").getAll()) }, values);
        await store.maintenance.server.send(
            new raven.DeleteDatabasesOperation({ databaseNames: [copy], hardDelete: true })
        );
        fs.rmSync(path.dirname(file), { recursive: true });
    });
});

describe("dumps", () => {
    it("are changed by a script on their way", async () => {
        const copy = `${name}-script`;
        await newDatabase(copy);
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "magpie-")), "some.ravendbdump");
        const out = await store.smuggler.export(new raven.DatabaseSmugglerExportOptions(), file);
        await out.waitForCompletion();
        const options = new raven.DatabaseSmugglerImportOptions();
        options.transformScript = "if (this['@metadata']['@collection'] !== 'Employees') throw 'skip'; this.seen = true;";
        const into = await store.smuggler.forDatabase(copy).import(options, file);
        await into.waitForCompletion();
        const session = store.openSession(copy);
        assert.equal((await session.load("employees/cleo")).seen, true);
        assert.equal(await session.query({ collection: "Orders" }).count(), 0);
        await store.maintenance.server.send(
            new raven.DeleteDatabasesOperation({ databaseNames: [copy], hardDelete: true })
        );
        fs.rmSync(path.dirname(file), { recursive: true });
    });

    it("leave one database and enter another", async () => {
        const copy = `${name}-copy`;
        await newDatabase(copy);
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "magpie-")), "all.ravendbdump");
        const out = await store.smuggler.export(new raven.DatabaseSmugglerExportOptions(), file);
        await out.waitForCompletion();
        assert.ok(fs.statSync(file).size > 1000);
        const into = await store.smuggler.forDatabase(copy).import(new raven.DatabaseSmugglerImportOptions(), file);
        await into.waitForCompletion();
        const [from, to] = await Promise.all([
            store.maintenance.send(new raven.GetStatisticsOperation()),
            store.maintenance.forDatabase(copy).send(new raven.GetStatisticsOperation()),
        ]);
        assert.equal(to.countOfDocuments, from.countOfDocuments);
        const session = store.openSession(copy);
        assert.equal((await session.load("employees/cleo")).name, "Cleopatra");
        await store.maintenance.server.send(
            new raven.DeleteDatabasesOperation({ databaseNames: [copy], hardDelete: true })
        );
        fs.rmSync(path.dirname(file), { recursive: true });
    });
});
