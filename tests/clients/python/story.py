"""RavenDB's own Python client, unmodified, against a running Magpie: what a user of it does in a day.

MAGPIE_URL is the server. Run with `python -m unittest`.
"""

import os
import unittest

from ravendb import (
    CreateDatabaseOperation,
    DeleteByQueryOperation,
    DeleteDatabaseOperation,
    DocumentStore,
    GetCompareExchangeValueOperation,
    GetDatabaseNamesOperation,
    GetDatabaseSettingsOperation,
    GetDetailedCollectionStatisticsOperation,
    GetDetailedStatisticsOperation,
    GetIndexStatisticsOperation,
    GetStatisticsOperation,
    NextIdentityForOperation,
    PatchByQueryOperation,
    PatchRequest,
    PutCompareExchangeValueOperation,
    PutIndexesOperation,
    ResetIndexOperation,
    StartIndexOperation,
    StopIndexOperation,
)
from ravendb.documents.operations.counters import (
    CounterBatch,
    CounterBatchOperation,
    CounterOperation,
    CounterOperationType,
    DocumentCountersOperation,
    GetCountersOperation,
)
from ravendb.documents.operations.patch import PatchOperation
from ravendb.documents.indexes.abstract_index_creation_tasks import AbstractJavaScriptIndexCreationTask
from ravendb.documents.indexes.definitions import FieldIndexing, IndexDefinition, IndexFieldOptions
from ravendb.documents.queries.highlighting import HighlightingOptions
from ravendb.documents.queries.more_like_this import MoreLikeThisOptions
from ravendb.documents.session.misc import OrderingType, SessionOptions, TransactionMode
from ravendb.exceptions.documents.indexes import IndexDoesNotExistException
from ravendb.exceptions.raven_exceptions import ConcurrencyException
from ravendb.serverwide.database_record import DatabaseRecord

URL = os.environ["MAGPIE_URL"]
NAME = f"python-story-{os.getpid()}"


class Employee:
    def __init__(self, name=None, salary=None, manager=None):
        self.name = name
        self.salary = salary
        self.manager = manager


class Order:
    def __init__(self, company=None, freight=None, note=None):
        self.company = company
        self.freight = freight
        self.note = note


class OrdersByCompany(AbstractJavaScriptIndexCreationTask):
    def __init__(self):
        super().__init__()
        self.maps = ["map('Orders', o => ({ company: o.company, count: 1, total: o.freight }))"]
        self.reduce = (
            "groupBy(r => r.company).aggregate(g => ({ company: g.key, "
            "count: g.values.reduce((n, v) => n + v.count, 0), "
            "total: g.values.reduce((n, v) => n + v.total, 0) }))"
        )


class Note:
    def __init__(self, text=None):
        self.text = text


class Story(unittest.TestCase):
    """One database; the orders are those of setUpClass unless a test makes its own documents."""

    @classmethod
    def setUpClass(cls):
        cls.store = DocumentStore(URL, NAME)
        cls.store.initialize()
        cls.store.maintenance.server.send(CreateDatabaseOperation(DatabaseRecord(NAME)))
        with cls.store.open_session() as session:
            for n in range(20):
                session.store(Order(f"companies/{n % 4}", n + 0.5, f"Order number {n}"), f"orders/{n}")
            session.save_changes()

    @classmethod
    def tearDownClass(cls):
        cls.store.maintenance.server.send(DeleteDatabaseOperation(NAME, True))
        cls.store.close()

    def test_databases_are_listed(self):
        self.assertIn(NAME, self.store.maintenance.server.send(GetDatabaseNamesOperation(0, 100)))

    def test_sessions_store_load_and_change(self):
        with self.store.open_session() as session:
            manager = Employee("Ann", 10)
            session.store(manager)
            worker = Employee("Bob", 5, session.advanced.get_document_id(manager))
            session.store(worker)
            session.save_changes()
            worker_id = session.advanced.get_document_id(worker)
        self.assertRegex(worker_id, r"^employees/\d+-A$")
        with self.store.open_session() as session:
            worker = session.include("manager").load(worker_id, Employee)[worker_id]
            before = session.advanced.number_of_requests
            self.assertEqual(session.load(worker.manager, Employee).name, "Ann")
            self.assertEqual(session.advanced.number_of_requests, before)
            worker.salary += 1
            session.save_changes()
        with self.store.open_session() as session:
            found = session.load([worker_id, "employees/none"], Employee)
            self.assertEqual(found[worker_id].salary, 6)
            self.assertIsNone(found["employees/none"])
            session.delete(worker_id)
            session.save_changes()
            self.assertIsNone(self.store.open_session().load(worker_id))

    def test_somebody_else_was_faster(self):
        with self.store.open_session() as session:
            session.store(Employee("Cleo"), "employees/cleo")
            session.save_changes()
        with self.store.open_session() as slow:
            slow.advanced.use_optimistic_concurrency = True
            seen = slow.load("employees/cleo", Employee)
            with self.store.open_session() as fast:
                fast.load("employees/cleo", Employee).name = "Cleopatra"
                fast.save_changes()
            seen.name = "Clio"
            with self.assertRaises(ConcurrencyException):
                slow.save_changes()

    def test_queries_filter_sort_page_and_count(self):
        with self.store.open_session() as session:
            query = (
                session.query_collection("Orders", Order)
                .wait_for_non_stale_results()
                .where_equals("company", "COMPANIES/1")
                .where_greater_than("freight", 2)
                .order_by_descending("freight", OrderingType.FLOAT)
                .skip(1)
                .take(2)
            )
            self.assertEqual([order.freight for order in query], [13.5, 9.5])
            orders = session.query_collection("Orders", Order).wait_for_non_stale_results()
            self.assertEqual(orders.where_in("company", ["companies/2", "companies/3"]).count(), 10)
            raw = session.advanced.raw_query("from Orders where freight < $max select company", dict)
            rows = list(raw.add_parameter("max", 3).wait_for_non_stale_results())
            self.assertEqual(sorted(row["company"] for row in rows), ["companies/0", "companies/1", "companies/2"])

    def test_indexes_are_made_for_what_queries_ask(self):
        with self.store.open_session() as session:
            told = []
            query = session.query_collection("Orders", Order).statistics(told.append)
            self.assertGreater(len(list(query.where_greater_than("freight", 2).order_by("company"))), 5)
        self.assertRegex(told[0].index_name, r"^Auto/Orders/By.*companyAnd.*freight")
        statistics = self.store.maintenance.send(GetStatisticsOperation())
        listed = {index.name: index.type for index in statistics.indexes}
        self.assertIn("AUTOMAP", str(listed[told[0].index_name]).upper().replace("_", ""))

    def test_indexes_map_and_reduce(self):
        OrdersByCompany().execute(self.store)
        with self.store.open_session() as session:
            query = session.query_index("OrdersByCompany", dict).wait_for_non_stale_results()
            rows = list(query.where_equals("company", "companies/2"))
        self.assertEqual([(row["count"], row["total"]) for row in rows], [(5, 52.5)])
        with self.assertRaises(IndexDoesNotExistException):
            with self.store.open_session() as session:
                list(session.query_index("Nope", dict))

    def test_indexes_mark_what_was_found_and_find_what_is_alike(self):
        definition = IndexDefinition()
        definition.name = "Notes/ByText"
        definition.maps = ["map('Notes', n => ({ text: n.text }))"]
        definition.fields = {"text": IndexFieldOptions(indexing=FieldIndexing.SEARCH)}
        self.store.maintenance.send(PutIndexesOperation(definition))
        with self.store.open_session() as session:
            for number, text in enumerate(["the quick brown fox", "a red fox and a red dog", "nothing at all"]):
                session.store(Note(text), f"notes/{number}")
            session.save_changes()
        marks = []
        with self.store.open_session() as session:
            query = session.query_index("Notes/ByText", Note).wait_for_non_stale_results()
            options = HighlightingOptions(pre_tags=["<"], post_tags=[">"])
            found = list(query.highlight("text", 18, 2, marks.append, options).search("text", "fox"))
        self.assertEqual({note.text for note in found}, {"the quick brown fox", "a red fox and a red dog"})
        self.assertEqual(marks[0].get_fragments("notes/1"), ["red <fox> and a red"])
        with self.store.open_session() as session:
            options = MoreLikeThisOptions(minimum_term_frequency=1, minimum_document_frequency=1)

            def like(builder):
                base = builder.using_document(lambda query: query.where_equals("id()", "notes/0"))
                base.with_options(options)

            others = list(session.query_index("Notes/ByText", Note).more_like_this(like))
        self.assertEqual([note.text for note in others], ["a red fox and a red dog"])

    def test_patches_run_alone_and_by_query(self):
        with self.store.open_session() as session:
            session.store({"n": 1, "@metadata": {"@collection": "Counters"}}, "counters/1")
            session.save_changes()
        request = PatchRequest()
        request.script = "this.n += args.more;"
        request.values = {"more": 5}
        self.store.operations.send(PatchOperation("counters/1", None, request))
        operation = self.store.operations.send_async(
            PatchByQueryOperation("from Counters as c update { c.n = c.n * 2; }")
        )
        operation.wait_for_completion()
        with self.store.open_session() as session:
            self.assertEqual(session.load("counters/1", dict)["n"], 12)
        self.store.operations.send_async(DeleteByQueryOperation("from Counters")).wait_for_completion()
        with self.store.open_session() as session:
            self.assertIsNone(session.load("counters/1"))

    def test_many_documents_go_in_with_a_bulk_insert_and_come_out_as_a_stream(self):
        with self.store.bulk_insert() as bulk:
            for n in range(2000):
                bulk.store_as(Order("bulk", float(n)), f"bulk/{n}")
        with self.store.open_session() as session:
            rows = session.advanced.stream_starting_with("bulk/", object_type=Order)
            self.assertEqual(sum(row.document.freight for row in rows), 2000 * 1999 / 2)
        self.store.operations.send_async(
            DeleteByQueryOperation("from Orders where company = 'bulk'")
        ).wait_for_completion()

    def test_attachments_are_stored_and_read(self):
        with self.store.open_session() as session:
            order = session.load("orders/2", Order)
            session.advanced.attachments.store(order, "scan.txt", b"a scan", "text/plain")
            session.save_changes()
        with self.store.open_session() as session:
            self.assertTrue(session.advanced.attachments.exists("orders/2", "scan.txt"))
            with session.advanced.attachments.get("orders/2", "scan.txt") as found:
                self.assertEqual(bytes(found.data), b"a scan")

    def test_counters_are_added_to_read_and_deleted(self):
        with self.store.open_session() as session:
            session.store(Employee("Counted"), "employees/counted")
            counters = session.counters_for("employees/counted")
            counters.increment("likes", 3)
            counters.increment("Dis Likes", -2)
            session.save_changes()
        with self.store.open_session() as session:
            employee = session.load("employees/counted", Employee)
            counters = session.counters_for_entity(employee)
            counters.increment("LIKES", 2)
            session.save_changes()
        with self.store.open_session() as session:
            counters = session.counters_for("employees/counted")
            self.assertEqual(counters.get("likes"), 5)
            everything = counters.get_all()
            self.assertEqual((len(everything), everything["likes"], everything["Dis Likes"]), (2, 5, -2))
        with self.store.open_session() as session:
            include = lambda builder: builder.include_counter("likes")
            employee = session.load("employees/counted", Employee, include)
            before = session.advanced.number_of_requests
            self.assertEqual(session.counters_for_entity(employee).get("likes"), 5)
            self.assertEqual(session.advanced.number_of_requests, before)
        with self.store.open_session() as session:
            found = session.query(object_type=Employee).where_equals("name", "Counted")
            found = list(found.include(lambda builder: builder.include_counters("likes", "Dis Likes")))
            before = session.advanced.number_of_requests
            self.assertEqual(session.counters_for_entity(found[0]).get("likes"), 5)
            self.assertEqual(session.advanced.number_of_requests, before)
        batch = CounterBatch(documents=[
            DocumentCountersOperation("employees/counted", [
                CounterOperation("passing", CounterOperationType.INCREMENT, 7),
                CounterOperation("likes", CounterOperationType.GET),
            ])
        ])
        changed = self.store.operations.send(CounterBatchOperation(batch))
        self.assertEqual([counter.total_value for counter in changed.counters], [7, 5])
        with self.store.open_session() as session:
            session.counters_for("employees/counted").delete("passing")
            session.save_changes()
        read = self.store.operations.send(GetCountersOperation("employees/counted", ["passing", "likes"], True))
        # The client asks for the names in the order of a set.
        self.assertCountEqual([counter and counter.total_value for counter in read.counters], [None, 5])
        with self.store.bulk_insert() as bulk_insert:
            bulk_insert.counters_for("employees/counted").increment("bulk", 4)
        with self.store.open_session() as session:
            self.assertEqual(session.counters_for("employees/counted").get("bulk"), 4)

    def test_compare_exchange_changes_only_for_who_knows_the_index(self):
        put = lambda value, index: self.store.operations.send(
            PutCompareExchangeValueOperation("emails/ann", value, index)
        )
        self.assertTrue(put("employees/1", 0).successful)
        self.assertFalse(put("employees/2", 0).successful)
        found = self.store.operations.send(GetCompareExchangeValueOperation("emails/ann", str))
        self.assertEqual(found.value, "employees/1")
        self.assertTrue(put("employees/2", found.index).successful)

    def test_statistics_count(self):
        send = self.store.maintenance.send
        self.assertGreaterEqual(send(GetStatisticsOperation()).count_of_documents, 20)
        send(NextIdentityForOperation("invoices|"))
        self.assertGreaterEqual(send(GetDetailedStatisticsOperation()).count_of_identities, 1)
        orders = send(GetDetailedCollectionStatisticsOperation()).collections["Orders"]
        self.assertGreaterEqual(orders.count_of_documents, 20)
        self.assertEqual(send(GetDatabaseSettingsOperation(NAME)).settings, {})

    def test_indexes_tell_how_they_are(self):
        OrdersByCompany().execute(self.store)
        send = self.store.maintenance.send
        self.assertEqual(send(GetIndexStatisticsOperation("OrdersByCompany")).name, "OrdersByCompany")
        send(StopIndexOperation("OrdersByCompany"))
        send(StartIndexOperation("OrdersByCompany"))
        send(ResetIndexOperation("OrdersByCompany"))

    def test_cluster_wide_sessions_write_documents_and_values_together(self):
        options = SessionOptions(transaction_mode=TransactionMode.CLUSTER_WIDE)
        with self.store.open_session(session_options=options) as session:
            session.advanced.cluster_transaction.create_compare_exchange_value("names/guard", "held")
            session.store(Employee("Guarded"), "employees/guard")
            session.save_changes()
        with self.store.open_session(session_options=options) as session:
            value = session.advanced.cluster_transaction.get_compare_exchange_value("names/guard", str)
            self.assertEqual(value.value, "held")
            self.assertEqual(session.load("employees/guard", Employee).name, "Guarded")
            session.advanced.cluster_transaction.delete_compare_exchange_value(value)
            session.save_changes()
        with self.store.open_session(session_options=options) as session:
            gone = session.advanced.cluster_transaction.get_compare_exchange_value("names/guard", str)
            self.assertIsNone(gone)


if __name__ == "__main__":
    unittest.main()
