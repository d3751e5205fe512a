//! `streams/queries` and `streams/docs`: all rows of a query, or a run of documents, written as they are read.
//!
//! With `format=jsonl` an answer is lines of JSON, with `format=csv` lines of CSV, else one JSON object. What goes wrong behind the head is told in a
//! last line or property `Error`, and the connection breaks off without an end.

use crate::answer;
use crate::clock;
use crate::csv::Csv;
use crate::document_pages;
use crate::error::ServerError;
use crate::queries::{self, Asked};
use crate::request::DatabaseRequest;
use crate::stream_body::{ChunkWriter, Gone, respond};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use magpie_query::{Answer, AnswerRow, QueryError, RowSink, Snapshot};
use magpie_store::json::{Json, Object};

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One JSON object a line.
    Lines,
    /// One JSON object.
    Whole,
    /// The rows alone, as CSV.
    Csv,
}

impl Format {
    fn read(request: &DatabaseRequest) -> Result<Self, ServerError> {
        match request.query.get("format") {
            None => Ok(Self::Whole),
            Some(name) if name.eq_ignore_ascii_case("json") => Ok(Self::Whole),
            Some(name) if name.eq_ignore_ascii_case("jsonl") => Ok(Self::Lines),
            Some(name) if name.eq_ignore_ascii_case("csv") => Ok(Self::Csv),
            Some(other) => Err(ServerError::ValueNotAllowed {
                name: "format",
                value: other.chars().take(100).collect(),
                expected: "jsonl or csv, or nothing for one JSON object",
            }),
        }
    }
}

/// `POST streams/queries?format=`
pub(crate) async fn post_query(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let asked = queries::read_body(&request, body).await?;
    stream_query(request, asked).await
}

/// `GET streams/queries?query=&format=`
pub(crate) async fn get_query(request: DatabaseRequest) -> Result<Response, ServerError> {
    let asked = queries::read_query_string(&request)?;
    stream_query(request, asked).await
}

/// `HEAD streams/queries`: whether there is such a thing.
pub(crate) async fn head_query(_request: DatabaseRequest) -> Response {
    StatusCode::OK.into_response()
}

async fn stream_query(request: DatabaseRequest, asked: Asked) -> Result<Response, ServerError> {
    let format = Format::read(&request)?;
    let index_name = queries::wait_if_asked(&request.app, &request.database, &asked).await?;
    let DatabaseRequest { app, database, query, .. } = request;
    let columns: Vec<String> =
        query.all("field").filter(|field| !field.is_empty()).map(str::to_owned).collect();
    let answered = respond(app, move |writer| {
        queries::again_when_moved(|| {
            let view = database.documents().view();
            let snapshot = Snapshot::new(&view, database.indexes());
            let progress = queries::progress(&database, &view, index_name.as_deref())?;
            let indexed_at = queries::index_timestamp(progress.map(|progress| progress.indexed_at));
            let csv = Csv::for_wire(columns.clone());
            let mut rows = Rows { writer, format, csv, indexed_at, begun: false, given: 0 };
            let streamed = magpie_query::stream(&snapshot, &asked.request, &mut rows);
            database.make_auto_indexes();
            match streamed {
                Ok(answer) => {
                    database.indexes().note_queried(&answer.index_name, clock::now());
                    rows.end().map_err(|Gone| ServerError::Stopping)
                }
                // Behind the head nothing can begin again.
                Err(error) if rows.begun => {
                    let error = ServerError::InvalidOperation(error.to_string());
                    let _ = rows.fail(&error.to_string());
                    Err(error)
                }
                Err(error) => Err(ServerError::Query(error)),
            }
        })
    })
    .await;
    match answered {
        // Unlike a query, a stream says which index it does not find.
        Err(ServerError::Query(error @ QueryError::IndexMissing { .. })) => {
            let body = Object::from_iter([("Error", Json::from(error.to_string()))]);
            Ok(answer::json(StatusCode::NOT_FOUND, body))
        }
        Ok(mut response) if format == Format::Csv => {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
            Ok(response)
        }
        other => other,
    }
}

/// The rows of a query on their way out.
struct Rows<'w> {
    writer: &'w mut ChunkWriter,
    format: Format,
    csv: Csv,
    indexed_at: String,
    begun: bool,
    given: u64,
}

impl RowSink for Rows<'_> {
    fn begin(&mut self, head: &Answer) -> Result<(), QueryError> {
        let includes = head.included_paths.is_some()
            || head.exchanges.is_some()
            || head.counters.is_some()
            || head.highlightings.is_some();
        if includes {
            return Err(QueryError::Unsupported {
                message: "Includes are not supported by streams; ask for the query without a stream"
                    .to_owned(),
            });
        }
        self.begun = true;
        self.writer.begin();
        let stats = Object::from_iter([
            ("ResultEtag", Json::from(head.result_etag)),
            ("IsStale", head.is_stale.into()),
            ("IndexName", head.index_name.as_str().into()),
            ("TotalResults", head.total_results.into()),
            ("IndexTimestamp", self.indexed_at.as_str().into()),
        ]);
        let format = self.format;
        let written = self.writer.write(|out| match format {
            Format::Lines => {
                Object::from_iter([("Stats", Json::Object(stats))]).write_to(out);
                out.push(b'\n');
            }
            Format::Whole => {
                stats.write_to(out);
                out.pop();
                out.extend_from_slice(b",\"Results\":[");
            }
            Format::Csv => {}
        });
        written.map_err(gone)
    }

    fn row(&mut self, row: AnswerRow) -> Result<(), QueryError> {
        let first = self.given == 0;
        self.given += 1;
        let Self { writer, format, csv, .. } = self;
        let written = writer.write(|out| match format {
            Format::Csv => csv.row(&row.into_json(), out),
            Format::Lines => {
                out.extend_from_slice(b"{\"Item\":");
                row.write_to(out);
                out.extend_from_slice(b"}\n");
            }
            Format::Whole => {
                if !first {
                    out.push(b',');
                }
                row.write_to(out);
            }
        });
        written.map_err(gone)
    }
}

impl Rows<'_> {
    fn end(&mut self) -> Result<(), Gone> {
        let format = self.format;
        self.writer.write(|out| {
            if format == Format::Whole {
                out.extend_from_slice(b"]}");
            }
        })
    }

    /// Says what went wrong, where a reader of half an answer finds it.
    fn fail(&mut self, message: &str) -> Result<(), Gone> {
        let format = self.format;
        self.writer.write(|out| {
            let error = Object::from_iter([("Error", Json::from(message))]);
            match format {
                Format::Lines => {
                    error.write_to(out);
                    out.push(b'\n');
                }
                Format::Csv => {
                    out.extend_from_slice(message.as_bytes());
                    out.push(b'\n');
                }
                Format::Whole => {
                    out.extend_from_slice(b"],");
                    let mut text = Vec::new();
                    error.write_to(&mut text);
                    out.extend_from_slice(text.get(1..).unwrap_or_default());
                }
            }
        })
    }
}

fn gone(_: Gone) -> QueryError {
    QueryError::Operation { message: "the client does not take the rows, or the server stops".to_owned() }
}

/// `GET streams/docs?startsWith=&startAfter=&matches=&exclude=&start=&pageSize=&format=`
pub(crate) async fn documents(request: DatabaseRequest) -> Result<Response, ServerError> {
    let format = match Format::read(&request)? {
        Format::Csv => {
            return Err(ServerError::NotSupported { what: "format=csv of streams/docs".to_owned() });
        }
        format => format,
    };
    let page = document_pages::Page::read(&request.query)?;
    let DatabaseRequest { app, database, query, .. } = request;
    respond(app, move |writer| {
        let view = database.documents().view();
        let documents = document_pages::run(&view, &query)?;
        writer.begin();
        let mut first = true;
        if format == Format::Whole {
            writer
                .write(|out| out.extend_from_slice(b"{\"Results\":["))
                .map_err(|Gone| ServerError::Stopping)?;
        }
        for document in documents.skip(page.start).take(page.size) {
            let document = document?;
            let written = writer.write(|out| {
                if format == Format::Whole && !first {
                    out.push(b',');
                }
                document.write_wire(view.database_id(), page.metadata_only, out);
                if format == Format::Lines {
                    out.push(b'\n');
                }
            });
            first = false;
            written.map_err(|Gone| ServerError::Stopping)?;
        }
        if format == Format::Whole {
            writer.write(|out| out.extend_from_slice(b"]}")).map_err(|Gone| ServerError::Stopping)?;
        }
        Ok(())
    })
    .await
}
